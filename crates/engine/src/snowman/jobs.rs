//! Jobs that wait for blocks. Upstream: `snow/engine/snowman/job/scheduler.go`.
//!
//! * Upon scheduling a job: it waits until **all** of them are resolved, fulfilled
//!   or abandoned. A dependency named twice is waited for twice.
//! * Upon resolving a dependency: the jobs that wait for it are looked at in the order they were
//!   scheduled. Between two of them the caller runs what is ready, and may resolve more.
//!
//! Every dependency must be resolved some day, or its jobs stay for ever.

use std::collections::VecDeque;

use sastrugi_types::{Id, IdBuildHasher, IdMap};

/// How a dependency ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The block was issued.
    Fulfilled,
    /// The block will not be issued.
    Abandoned,
}

/// A job all of whose dependencies are resolved.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ready<J> {
    pub(crate) job: J,
    /// Whether a dependency was abandoned.
    pub(crate) any_abandoned: bool,
}

/// A dependency being resolved: the jobs that still have to hear of it.
#[derive(Debug)]
pub(crate) struct Resolution {
    waiting: VecDeque<usize>,
    outcome: Outcome,
}

/// The jobs that wait, by what they wait for.
#[derive(Debug)]
pub(crate) struct Scheduler<J> {
    records: Vec<Option<Record<J>>>,
    vacant: Vec<usize>,
    dependents: IdMap<VecDeque<usize>>,
}

#[derive(Debug)]
struct Record<J> {
    ready: Ready<J>,
    unresolved: usize,
}

impl<J> Scheduler<J> {
    pub(crate) fn new(hasher: IdBuildHasher) -> Self {
        Self { records: Vec::new(), vacant: Vec::new(), dependents: IdMap::with_hasher(hasher) }
    }

    /// Number of dependencies that jobs wait for.
    pub(crate) fn dependencies(&self) -> usize {
        self.dependents.len()
    }

    /// Keeps the job until `dependencies` are resolved, of which there is at least one.
    pub(crate) fn schedule(&mut self, job: J, dependencies: &[Id]) {
        debug_assert!(!dependencies.is_empty(), "this job can run at once");
        let ready = Ready { job, any_abandoned: false };
        let record = Some(Record { ready, unresolved: dependencies.len() });
        let index = if let Some(index) = self.vacant.pop() {
            self.records[index] = record;
            index
        } else {
            self.records.push(record);
            self.records.len() - 1
        };
        for dependency in dependencies {
            self.dependents.entry(*dependency).or_default().push_back(index);
        }
    }

    /// Takes the jobs that wait for `dependency`; none when there is no such job. The caller takes
    /// those that become ready with [`Scheduler::next`].
    pub(crate) fn resolve(&mut self, dependency: Id, outcome: Outcome) -> Option<Resolution> {
        if self.dependents.is_empty() {
            return None;
        }
        let waiting = self.dependents.remove(&dependency)?;
        Some(Resolution { waiting, outcome })
    }

    /// The next job that becomes ready.
    pub(crate) fn next(&mut self, resolution: &mut Resolution) -> Option<Ready<J>> {
        while let Some(index) = resolution.waiting.pop_front() {
            let slot = &mut self.records[index];
            let Some(record) = slot else { continue };
            record.unresolved -= 1;
            record.ready.any_abandoned |= resolution.outcome == Outcome::Abandoned;
            if record.unresolved == 0 {
                self.vacant.push(index);
                return slot.take().map(|record| record.ready);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Id = Id([1; 32]);
    const B: Id = Id([2; 32]);

    fn scheduler() -> Scheduler<u8> {
        Scheduler::new(IdBuildHasher::new(1))
    }

    fn resolve(jobs: &mut Scheduler<u8>, id: Id, outcome: Outcome) -> Vec<(u8, bool)> {
        let mut ready = Vec::new();
        if let Some(mut resolution) = jobs.resolve(id, outcome) {
            while let Some(next) = jobs.next(&mut resolution) {
                ready.push((next.job, next.any_abandoned));
            }
        }
        ready
    }

    #[test]
    fn resolving_what_nobody_waits_for_changes_nothing() {
        let mut jobs = scheduler();
        jobs.schedule(1, &[A]);
        assert_eq!(resolve(&mut jobs, B, Outcome::Abandoned), []);
        assert_eq!(jobs.dependencies(), 1);
    }

    #[test]
    fn a_job_runs_when_all_dependencies_are_resolved_even_if_one_was_abandoned() {
        let mut jobs = scheduler();
        jobs.schedule(1, &[A, B]);
        jobs.schedule(2, &[B]);
        assert_eq!(resolve(&mut jobs, A, Outcome::Abandoned), []);
        assert_eq!(resolve(&mut jobs, B, Outcome::Fulfilled), [(1, true), (2, false)]);
        assert_eq!(jobs.dependencies(), 0);
    }

    #[test]
    fn a_dependency_named_twice_is_resolved_at_once() {
        let mut jobs = scheduler();
        jobs.schedule(1, &[A, A]);
        assert_eq!(jobs.dependencies(), 1);
        assert_eq!(resolve(&mut jobs, A, Outcome::Fulfilled), [(1, false)]);
    }

    #[test]
    fn a_job_hears_of_a_dependency_only_after_the_jobs_before_it_ran() {
        let mut jobs = scheduler();
        jobs.schedule(1, &[A]);
        jobs.schedule(2, &[A, B]);
        let mut outer = jobs.resolve(A, Outcome::Fulfilled).unwrap();
        assert_eq!(jobs.next(&mut outer).unwrap().job, 1);
        assert_eq!(resolve(&mut jobs, B, Outcome::Fulfilled), [], "2 still waits for A");
        assert_eq!(jobs.next(&mut outer).unwrap().job, 2);
        assert_eq!(jobs.next(&mut outer), None);
    }

    #[test]
    fn slots_are_used_again() {
        let mut jobs = scheduler();
        for job in 0..100 {
            jobs.schedule(job, &[A]);
            assert_eq!(resolve(&mut jobs, A, Outcome::Fulfilled), [(job, false)]);
        }
        assert_eq!(jobs.records.len(), 1);
    }
}
