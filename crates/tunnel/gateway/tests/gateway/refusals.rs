//! Registrations that are refused, and conversations that are none.

use std::time::Duration;

use futures_util::future::join_all;
use poterne_edge_upstream::UpstreamError;
use poterne_model::{ConnectorId, TunnelId, tunnel::Transport};
use poterne_tunnel_proto::{registration::RegistrationError, token::Secret};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    agent::{Agent, BOTH, registration},
    edge::{Edge, eventually, other_tunnel, soon, tunnel},
    probe::Probe,
    relay::Relay,
    vectors::{A1, A2, bytes},
};

#[tokio::test]
async fn every_refusal_of_credentials_reads_the_same_and_ends_the_connection() {
    for transport in BOTH {
        let edge = Edge::start().await;
        edge.delete(other_tunnel());
        let mut cases = [0, 1, 2, 3].map(registration);
        cases[0].tunnel_secret = Secret::new(vec![1; 32]);
        cases[1].tunnel_id = TunnelId::from_bytes([1; 16]);
        cases[2].tunnel_id = other_tunnel();
        cases[3].account_tag = "f".repeat(32);
        let attempts = cases.into_iter().map(async |case| {
            let (answer, link) = Agent::dial(&edge, transport).await.register(case).await;
            soon("the edge's goodbye", link.closed()).await;
            answer.expect("an answer").expect_err("a refusal")
        });
        for refusal in join_all(attempts).await {
            assert_eq!(refusal, RegistrationError::unauthorized());
        }
        assert_eq!((edge.metric("gateway_registrations_refused"), edge.gateway.connections()), (4, 0));
    }
}

#[tokio::test]
async fn who_is_refused_too_often_is_refused_at_the_door_and_nobody_else() {
    let edge = Edge::with(|settings| {
        settings.newcomers_per_source_max = 4;
        settings.refusal_forgiven_after = Duration::from_secs(3600);
    })
    .await;
    let good = Agent::good(&edge, Transport::Quic, 0).await;
    for transport in [Transport::Quic, Transport::Http2, Transport::Quic, Transport::Http2] {
        let mut wrong = registration(1);
        wrong.tunnel_secret = Secret::new(vec![1; 32]);
        let (answer, link) = Agent::dial(&edge, transport).await.register(wrong).await;
        assert!(answer.unwrap().is_err());
        link.drop_transport();
        eventually("it is gone", || edge.metric("gateway_newcomers") == 0).await;
    }
    let refused = crate::agent::endpoint(&edge).connect(edge.address, "quic.cftunnel.com").unwrap().await;
    assert!(matches!(refused, Err(quinn::ConnectionError::ConnectionClosed(_))), "{refused:?}");
    let mut closed = tokio::net::TcpStream::connect(edge.address).await.unwrap();
    assert_eq!(soon("the edge's goodbye", closed.read(&mut [0])).await.unwrap_or(0), 0);
    assert_eq!(edge.metric("gateway_registrations_refused"), 4);
    // Who is registered stays, and other addresses are none of this.
    assert_eq!(edge.get("/").await.unwrap().1, "0");
    assert!(good.link.is_open());
    let relay = Relay::start_at("127.0.0.3", edge.address).await;
    let elsewhere = Agent::dial_at(&edge, Transport::Quic, relay.udp).await.serve("elsewhere", registration(1)).await;
    assert!(elsewhere.link.is_open());
}

#[tokio::test]
async fn newcomers_are_counted_until_they_register_or_leave() {
    let edge = Edge::with(|settings| settings.newcomers_max = 3).await;
    let mut newcomers = Vec::new();
    for transport in [Transport::Quic, Transport::Http2, Transport::Http2] {
        newcomers.push(Agent::dial(&edge, transport).await);
    }
    assert_eq!((edge.metric("gateway_newcomers"), edge.metric("gateway_newcomers_max")), (3, 3));
    let refused = crate::agent::endpoint(&edge).connect(edge.address, "quic.cftunnel.com").unwrap().await;
    assert!(matches!(refused, Err(quinn::ConnectionError::ConnectionClosed(_))), "{refused:?}");
    let registered = newcomers.pop().unwrap().serve("0", registration(0)).await;
    assert_eq!(edge.metric("gateway_newcomers"), 2);
    newcomers.pop().unwrap().link.drop_transport();
    newcomers.pop().unwrap().link.drop_transport();
    eventually("they are gone", || edge.metric("gateway_newcomers") == 0).await;
    assert!(registered.link.is_open());
}

#[tokio::test]
async fn a_deleted_tunnel_loses_its_connections_and_who_comes_back_is_told_to_wait() {
    for transport in BOTH {
        let edge = Edge::start().await;
        let agents = [Agent::good(&edge, transport, 0).await, Agent::good(&edge, transport, 1).await];
        edge.delete(tunnel());
        // At once, and not only once the agents have left: visitors read error 1016.
        assert_eq!(edge.get("/").await, Err(UpstreamError::UnknownTunnel(tunnel())));
        assert!(agents.iter().all(|agent| agent.requests() == 0));
        for agent in &agents {
            let told = soon("the edge's goodbye", agent.link.closed()).await;
            assert!(transport == Transport::Http2 || told == "the tunnel was deleted", "{told}");
        }
        for _ in &agents {
            assert_eq!(edge.end().await, "the tunnel was deleted");
        }
        assert_eq!(edge.get("/").await, Err(UpstreamError::UnknownTunnel(tunnel())));
        // The stock agent retries a refusal whose cause says Unauthorized, and only that on both transports (reference §6.3); ours
        // waits as long as it is told.
        let (answer, link) = Agent::dial(&edge, transport).await.register(registration(0)).await;
        let refusal = answer.unwrap().unwrap_err();
        assert_eq!(refusal, RegistrationError::unauthorized());
        assert!(refusal.is_unauthorized() && refusal.should_retry && refusal.retry_after == Duration::from_secs(30));
        soon("the edge's goodbye", link.closed()).await;
        assert_eq!(edge.gateway.connections(), 0);
    }
}

#[tokio::test]
async fn a_newcomer_supersedes_the_older_connection_of_its_slot_alone() {
    for transport in BOTH {
        let edge = Edge::start().await;
        let old = Agent::good(&edge, transport, 0).await;
        let beside = Agent::good(&edge, transport, 1).await;
        let new = Agent::dial(&edge, transport).await.serve("new", registration(0)).await;
        soon("the old one's end", old.link.closed()).await;
        assert!(edge.end().await.contains("superseded"));
        assert_eq!((edge.gateway.connections(), edge.metric("gateway_connections")), (2, 2));
        for _ in 0..20 {
            assert_ne!(edge.get("/").await.unwrap().1, "0");
        }
        assert!(beside.link.is_open() && new.link.is_open());
        assert!(new.requests() > 0 && beside.requests() > 0 && old.requests() == 0);
    }
}

#[tokio::test]
async fn a_tunnel_has_no_more_connections_than_its_limit() {
    for transport in BOTH {
        let edge = Edge::with(|settings| settings.connections_per_tunnel_max = 2).await;
        let agents = [Agent::good(&edge, transport, 0).await, Agent::good(&edge, transport, 1).await];
        let mut third = registration(0);
        third.options.client.client_id = ConnectorId::from_bytes([8; 16]);
        let (answer, link) = Agent::dial(&edge, transport).await.register(third).await;
        let refusal = answer.unwrap().unwrap_err();
        assert!(refusal.should_retry && refusal.cause.contains("has 2 connections already, its limit"), "{refusal:?}");
        soon("the edge's goodbye", link.closed()).await;
        assert!(agents.iter().all(|agent| agent.link.is_open()));
    }
}

#[tokio::test]
async fn a_control_stream_that_is_no_conversation_ends_its_connection() {
    let oversized = [bytes(A1), vec![0, 0, 0, 0, 1, 0x20, 0, 0]].concat();
    let cases: [(&str, Vec<u8>); 5] = [
        ("larger than 64 KiB", oversized),
        ("four thousand million segments", vec![0xff; 64]),
        ("pointers into nowhere", [vec![0, 0, 0, 0, 2, 0, 0, 0], vec![0xff; 16]].concat()),
        ("half a registration", [bytes(A1), bytes(A2)[..100].to_vec()].concat()),
        ("nothing at all", Vec::new()),
    ];
    let edge = Edge::start().await;
    let probe = Probe::start(&edge).await;
    for transport in BOTH {
        for (name, said) in &cases {
            let mut agent = Agent::dial(&edge, transport).await;
            agent.control.writer.write_all(said).await.unwrap();
            // The edge may have left by now.
            let _ = agent.control.writer.shutdown().await;
            soon(name, agent.link.closed()).await;
        }
    }
    probe.stop().await;
    assert_eq!(edge.metric("gateway_registrations"), 2, "the probe's");
}

#[tokio::test]
async fn a_registered_agent_that_breaks_the_conversation_loses_its_connection() {
    for transport in BOTH {
        let edge = Edge::start().await;
        let mut agent = Agent::dial(&edge, transport).await;
        agent.control.writer.write_all(&[bytes(A1), bytes(A2)].concat()).await.unwrap();
        agent.control.writer.flush().await.unwrap();
        eventually("the registration", || edge.gateway.connections() == 1).await;
        // More than 1 MiB in one message.
        agent.control.writer.write_all(&[0, 0, 0, 0, 1, 0, 2, 0]).await.unwrap();
        agent.control.writer.flush().await.unwrap();
        soon("the edge's goodbye", agent.link.closed()).await;
        let reason = edge.end().await;
        assert!(reason.contains("announces 1048584 bytes, more than 1048576"), "{reason}");
    }
}

#[tokio::test]
async fn a_call_to_another_interface_is_answered_and_the_registration_after_it_serves() {
    for transport in BOTH {
        let edge = Edge::start().await;
        let mut agent = Agent::dial(&edge, transport).await;
        let mut foreign = bytes(A2);
        foreign[40] ^= 1; // of the interface's id
        let mut registration = bytes(A2);
        registration[32] = 2; // another question
        agent.control.writer.write_all(&[bytes(A1), foreign, registration].concat()).await.unwrap();
        agent.control.writer.flush().await.unwrap();
        eventually("the registration", || edge.gateway.connections() == 1).await;
        assert!(agent.link.is_open());
    }
}
