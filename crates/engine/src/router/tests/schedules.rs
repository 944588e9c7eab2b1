//! A port, the network and the timer of one router, under many schedules. Threads switch between
//! calls and inside the network, while the router is unlocked.

use shuttle::thread;

use super::*;

const SCHEDULES: usize = 300;

/// Reaches nobody, and takes its time.
struct Nowhere;

impl Network for Nowhere {
    fn send(&self, _: &Outbound, _: &NodeSet, _: Id) -> NodeSet {
        thread::yield_now();
        NodeSet::new()
    }

    fn gossip(&self, _: &Outbound, _: &SendConfig, _: Id) -> NodeSet {
        NodeSet::new()
    }
}

#[test]
fn whatever_the_order_each_request_has_one_outcome() {
    shuttle::check_random(
        || {
            let fixture = fixture();
            let Fixture { router, inbox, clock, .. } = fixture;
            let network = Arc::new(Nowhere);
            let port = Port::new(CHAIN, SUBNET, router.clone(), network, clock.clone());
            let asker = thread::spawn(move || {
                for id in 0..3 {
                    port.send_pull_query(&nodes(&[PEER]), RequestId(id), Id::EMPTY, 0);
                    thread::yield_now();
                }
            });
            let answering = router.clone();
            let answerer = thread::spawn(move || {
                for id in [0, 1, 2, 0, 1, 2] {
                    let payload = Payload::Response { id: RequestId(id), response: chits() };
                    let message = Inbound { from: PEER, chain: CHAIN, payload };
                    answering.lock().inbound(Instant::ZERO, message, Permit::NONE);
                    thread::yield_now();
                }
            });
            let late = Instant::ZERO + 60 * SECOND;
            router.lock().handle_timeout(late);
            thread::yield_now();
            router.lock().handle_timeout(late);
            asker.join().unwrap();
            answerer.join().unwrap();
            router.lock().handle_timeout(late);
            let mut outcomes: Vec<_> = heard(&inbox)
                .iter()
                .map(|input| match input {
                    Input::Response { id, .. } | Input::Failed { id, .. } => id.0,
                    other => panic!("{other:?}"),
                })
                .collect();
            outcomes.sort_unstable();
            assert_eq!(outcomes, [0, 1, 2]);
            assert_eq!(router.lock().outstanding(), 0);
        },
        SCHEDULES,
    );
}
