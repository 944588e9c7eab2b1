//! Ctrl-C and termination.

use std::{sync::Arc, time::Duration};

use parking_lot::{Condvar, Mutex};
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
};

use crate::error::StartError;

/// Whether the process was told to stop.
#[derive(Clone, Debug, Default)]
pub struct Signals(Arc<(Mutex<bool>, Condvar)>);

impl Signals {
    /// Listens from here on.
    pub fn listen(runtime: &Runtime) -> Result<Self, StartError> {
        let signals = Self::default();
        let _entered = runtime.enter();
        for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
            let mut stream = signal(kind)
                .map_err(|error| StartError::Other(format!("cannot listen to signals: {error}")))?;
            let told = signals.clone();
            runtime.spawn(async move {
                while stream.recv().await.is_some() {
                    told.tell();
                }
            });
        }
        Ok(signals)
    }

    fn tell(&self) {
        let (told, changed) = &*self.0;
        *told.lock() = true;
        changed.notify_all();
    }

    /// Waits for a signal, no longer than `wait_max`; says whether one came, now or before.
    pub fn wait(&self, wait_max: Duration) -> bool {
        let (told, changed) = &*self.0;
        let mut told = told.lock();
        changed.wait_while_for(&mut told, |told| !*told, wait_max);
        *told
    }
}
