//! The chain and the threads beside it, under many schedules. Threads switch between calls and
//! inside app handlers, which are all the places where they share anything without a lock.

use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::thread;

use super::*;

const SCHEDULES: usize = 300;

#[test]
fn whatever_the_order_the_gear_is_shut_down_once_after_the_last_job() {
    shuttle::check_random(
        || {
            let (mut chain, log) = fixture();
            let (inbox, jobs) = (chain.inbox().clone(), chain.app_jobs());
            let (held, wakes) = (Arc::new(()), Arc::new(AtomicUsize::new(1)));
            let waker = wakes.clone();
            inbox.on_wake(Lane::Sync, move || {
                waker.fetch_add(1, Ordering::Relaxed);
            });
            let owner = thread::spawn(move || {
                chain.start(NOW, WALL);
                while !chain.is_stopped() {
                    // Only a wake-up makes it look again, as in production.
                    while wakes.swap(0, Ordering::Relaxed) == 0 {
                        thread::yield_now();
                    }
                    while chain.turn(NOW, WALL) == Progress::More {
                        thread::yield_now();
                    }
                    thread::yield_now();
                }
                chain
            });
            let workers = [jobs.clone(), jobs].map(|jobs| {
                thread::spawn(move || {
                    for _ in 0..4 {
                        if let Some(job) = jobs.next(NOW) {
                            thread::yield_now();
                            job.run();
                        }
                        thread::yield_now();
                    }
                })
            });
            for message in ["yield", "b", "yield"] {
                let permit = Permit::new(held.clone());
                // Refused when the stop came first.
                let _ = inbox.push(app_gossip(message), permit);
                let _ = inbox.push(get(), Permit::new(held.clone()));
                thread::yield_now();
            }
            let stopper = inbox.clone();
            thread::spawn(move || stopper.stop(Ok(()))).join().unwrap();
            for worker in workers {
                worker.join().unwrap();
            }
            let chain = owner.join().unwrap();
            let calls = log.take();
            assert_eq!(outcome(&chain), "ok");
            assert_eq!(calls.last().unwrap(), "shutdown", "{calls:?}");
            assert_eq!(calls.iter().filter(|call| *call == "shutdown").count(), 1);
            assert_eq!(Arc::strong_count(&held), 1, "all permits came back");
        },
        SCHEDULES,
    );
}
