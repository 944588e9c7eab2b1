//! Processor time.

#![expect(unsafe_code, reason = "getrusage is a C function")]

use std::{mem::MaybeUninit, time::Duration};

/// User and system time that this process has used.
pub(crate) fn cpu_time() -> Duration {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` is writable and as large as the call expects.
    let failed = unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
    if failed != 0 {
        return Duration::ZERO;
    }
    // SAFETY: the call filled it, and all zeros would be valid too.
    let usage = unsafe { usage.assume_init() };
    duration(usage.ru_utime) + duration(usage.ru_stime)
}

fn duration(time: libc::timeval) -> Duration {
    Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
}
