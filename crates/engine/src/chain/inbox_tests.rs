use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use sastrugi_types::{
    Id, NodeId, RequestId,
    message::{Gossip, Request, Response, ResponseOp},
};

use super::*;
use crate::common::Fatal;

const NODE: NodeId = NodeId([1; 20]);

fn request(number: u32, expires: Instant) -> Input {
    let request = Request::Get { container: Id::EMPTY };
    Input::Request { from: NODE, id: RequestId(number), expires, request }
}

fn failed(number: u32) -> Input {
    Input::Failed { from: NODE, id: RequestId(number), op: ResponseOp::Put }
}

fn gossip(bytes: usize) -> Input {
    Input::Gossip { from: NODE, gossip: Gossip::App { bytes: vec![0; bytes].into() } }
}

fn inbox(limits: InboxLimits) -> Inbox {
    Inbox::new(limits, Halter::default())
}

#[test]
fn a_full_queue_refuses_requests_and_takes_everything_else() {
    let inbox = inbox(InboxLimits { sync_requests_max: 2, ..InboxLimits::default() });
    for number in 0..2 {
        assert_eq!(inbox.push(request(number, Instant::MAX), Permit::NONE), Ok(()));
    }
    assert_eq!(inbox.push(request(2, Instant::MAX), Permit::NONE), Err(Refused::Full));
    for number in 3..10 {
        assert_eq!(inbox.push(failed(number), Permit::NONE), Ok(()));
    }
    let stats = inbox.stats(Lane::Sync);
    assert_eq!((stats.waiting, stats.waiting_requests, stats.refused), (9, 2, 1));
    assert_eq!(inbox.pop(Lane::Sync, Instant::ZERO).unwrap().input, request(0, Instant::MAX));
    assert_eq!(inbox.push(request(10, Instant::MAX), Permit::NONE), Ok(()));
}

#[test]
fn bytes_are_bounded_and_given_back() {
    let size = gossip(1000).size_bytes();
    let inbox = inbox(InboxLimits { app_bytes_max: 3 * size, ..InboxLimits::default() });
    for _ in 0..3 {
        assert_eq!(inbox.push(gossip(1000), Permit::NONE), Ok(()));
    }
    assert_eq!(inbox.push(gossip(0), Permit::NONE), Err(Refused::Full));
    let response = Response::App { bytes: Bytes::from(vec![0; 5000]) };
    let reply = Input::Response { from: NODE, id: RequestId(1), response };
    assert_eq!(inbox.push(reply, Permit::NONE), Ok(()));
    assert!(inbox.is_empty(Lane::Sync), "the queues are apart");
    while inbox.pop(Lane::App, Instant::ZERO).is_some() {}
    assert_eq!(inbox.stats(Lane::App).waiting_bytes, 0);
    assert_eq!(inbox.push(gossip(0), Permit::NONE), Ok(()));
}

#[test]
fn what_expired_is_skipped_strictly_after_its_instant() {
    let inbox = inbox(InboxLimits::default());
    inbox.push(request(1, Instant(10)), Permit::NONE).unwrap();
    inbox.push(request(2, Instant(11)), Permit::NONE).unwrap();
    inbox.push(request(3, Instant(10)), Permit::NONE).unwrap();
    inbox.push(failed(4), Permit::NONE).unwrap();
    let pop = || inbox.pop(Lane::Sync, Instant(11)).map(|delivery| delivery.input);
    assert_eq!(pop(), Some(request(2, Instant(11))));
    assert_eq!(pop(), Some(failed(4)));
    assert_eq!(pop(), None);
    assert_eq!(inbox.stats(Lane::Sync).expired, 2);
}

#[test]
fn a_permit_is_given_back_on_every_path() {
    let held = Arc::new(());
    let permit = || Permit::new(Arc::clone(&held));
    let inbox = inbox(InboxLimits { sync_requests_max: 2, ..InboxLimits::default() });
    inbox.push(request(1, Instant(5)), permit()).unwrap();
    inbox.push(request(2, Instant(9)), permit()).unwrap();
    assert!(inbox.push(request(3, Instant(9)), permit()).is_err());
    assert_eq!(Arc::strong_count(&held), 3, "the refused one");
    let handled = inbox.pop(Lane::Sync, Instant(9)).unwrap();
    assert_eq!(Arc::strong_count(&held), 2, "the expired one");
    drop(handled);
    assert_eq!(Arc::strong_count(&held), 1, "the handled one");
    inbox.push(request(4, Instant(9)), permit()).unwrap();
    inbox.stop(Ok(()));
    assert_eq!(Arc::strong_count(&held), 1, "the dropped one");
    assert_eq!(inbox.push(failed(5), permit()), Err(Refused::Stopped));
    assert_eq!(Arc::strong_count(&held), 1, "the late one");
}

#[test]
fn the_first_reason_to_stop_counts_and_is_given_once() {
    let inbox = inbox(InboxLimits::default());
    assert!(inbox.take_stop().is_none());
    inbox.stop(Err(Fatal::Broken("first".into())));
    inbox.stop(Ok(()));
    assert!(inbox.is_stopped() && inbox.halter().halted());
    assert_eq!(inbox.take_stop().unwrap().unwrap_err().to_string(), "first");
    assert!(inbox.take_stop().is_none());
    assert!(inbox.is_stopped());
}

#[test]
fn sync_wakes_when_it_was_empty_and_app_at_each_message() {
    let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let inbox = inbox(InboxLimits::default());
    for (index, lane) in [Lane::Sync, Lane::App].into_iter().enumerate() {
        let counts = Arc::clone(&counts);
        inbox.on_wake(lane, move || {
            counts[index].fetch_add(1, Ordering::Relaxed);
        });
    }
    let counted = || [0, 1].map(|lane: usize| counts[lane].load(Ordering::Relaxed));
    for number in 0..3 {
        inbox.push(failed(number), Permit::NONE).unwrap();
        inbox.push(gossip(1), Permit::NONE).unwrap();
    }
    assert_eq!(counted(), [1, 3]);
    inbox.wake();
    assert_eq!(counted(), [2, 3]);
    inbox.stop(Ok(()));
    assert_eq!(counted(), [3, 4]);
}
