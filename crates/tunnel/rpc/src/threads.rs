//! The pinned threads that RPC runs on: its library's types are not `Send`, so each conversation lives on one thread.

use std::future::Future;

use tokio_util::task::LocalPoolHandle;

use crate::RpcError;

/// Threads that RPC conversations are spread over. One serves thousands: an agent's control stream is silent for days.
#[derive(Clone, Debug)]
pub struct RpcThreads(LocalPoolHandle);

impl RpcThreads {
    /// Starts this many threads; at least one.
    pub fn new(threads: usize) -> Self {
        Self(LocalPoolHandle::new(threads.max(1)))
    }

    /// Runs a conversation to its end. It ends early, too, when the caller stops waiting; a panic in it is that conversation's
    /// error and nobody else's.
    pub(crate) async fn run<F, Fut, T>(&self, conversation: F) -> Result<T, RpcError>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, RpcError>> + 'static,
        T: Send + 'static,
    {
        let task = self.0.spawn_pinned(conversation);
        let _abort = AbortOnDrop(task.abort_handle());
        task.await.unwrap_or_else(|e| Err(RpcError::Panicked(e.to_string())))
    }

    /// Runs a conversation beside the caller.
    pub(crate) fn spawn<F, Fut>(&self, conversation: F)
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        drop(self.0.spawn_pinned(conversation));
    }
}

/// Ends a task that nobody waits for any more.
pub(crate) struct AbortOnDrop(pub(crate) tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
