//! Checks of `poterne-tunnel-rpc`.

use std::{
    io::Cursor,
    sync::{Arc, LazyLock},
    time::Duration,
};

use bytes::Bytes;
use poterne_tunnel_proto::registration::{ConnectionDetails, RegisterConnection, RegistrationError};
use poterne_tunnel_rpc::{
    AgentServer, BoxFuture, ConfigurationAnswer, Limits, RegistrationServer, RpcError, RpcThreads, UdpSession, bounded::Scanner,
    serve_agent, serve_registration,
};

/// The bounded reader's view of an RPC stream: the verdict does not depend on how the bytes were cut.
pub fn rpc_frame(data: &[u8]) {
    let scan = |cut: usize| {
        let mut scanner = Scanner::default();
        data.chunks(cut).try_for_each(|piece| scanner.scan(piece, 64 * 1024))
    };
    assert_eq!(scan(usize::MAX), scan(7));
}

/// A whole conversation with a peer that says these bytes, with either end: it ends, and not by a fault of ours.
pub fn rpc_session(data: &[u8]) {
    static RUNTIME: LazyLock<(tokio::runtime::Runtime, RpcThreads)> = LazyLock::new(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        (runtime, RpcThreads::new(1))
    });
    let (runtime, threads) = &*RUNTIME;
    runtime.block_on(async {
        let says = || Cursor::new(data.to_vec());
        let at_edge = serve_registration(threads, says(), tokio::io::sink(), Arc::new(Anyone), Limits::default()).await;
        let patience = Duration::from_secs(5);
        let at_agent = serve_agent(threads, says(), tokio::io::sink(), Arc::new(Anyone), Limits::default(), patience).await;
        for outcome in [at_edge, at_agent] {
            assert!(!matches!(outcome, Err(RpcError::Panicked(_))), "{outcome:?}");
        }
    });
}

/// Lets anyone do anything.
struct Anyone;

impl RegistrationServer for Anyone {
    fn register_connection(&self, _: RegisterConnection) -> BoxFuture<'static, Result<ConnectionDetails, RegistrationError>> {
        Box::pin(std::future::ready(Err(RegistrationError::refused("no"))))
    }
    fn unregister_connection(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
    fn update_local_configuration(&self, _: Bytes) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

impl AgentServer for Anyone {
    fn update_configuration(&self, version: i32, _: Bytes) -> BoxFuture<'static, ConfigurationAnswer> {
        Box::pin(std::future::ready(ConfigurationAnswer { latest_applied_version: version, error: None }))
    }
    fn register_udp_session(&self, _: UdpSession) -> BoxFuture<'static, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }
    fn unregister_udp_session(&self, _: [u8; 16], _: String) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}
