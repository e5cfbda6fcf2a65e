//! Our extension `poterne_trailers_1` over QUIC, at the edge's end.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Version};
use http_body::{Frame, SizeHint};
use poterne_edge_http::{Body, BodyError};
use poterne_model::tunnel::Transport;

use crate::{
    agent::{Agent, registration},
    edge::{Edge, request, soon, tunnel},
};

/// `hello` and a trailer, with or without a length.
struct Hello(VecDeque<Frame<Bytes>>, SizeHint);

impl Hello {
    fn new(length: Option<u64>) -> Self {
        let trailers = HeaderMap::from_iter([(http::HeaderName::from_static("x-checksum"), "1a2b".parse().unwrap())]);
        let frames = [Frame::data(Bytes::from_static(b"hello")), Frame::trailers(trailers)];
        Self(frames.into(), length.map_or_else(SizeHint::default, SizeHint::with_exact))
    }
}

impl http_body::Body for Hello {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }

    fn size_hint(&self) -> SizeHint {
        self.1
    }
}

#[tokio::test]
async fn trailers_pass_beside_a_length_where_the_visitors_version_has_room_for_both() {
    let edge = Edge::start().await;
    let mut ours = registration(0);
    ours.options.client.features.push("poterne_trailers_1".into());
    let _agent = Agent::dial(&edge, Transport::Quic).await.serve("0", ours).await;
    for (version, length, expected) in [
        (Version::HTTP_2, Some(5), Some("1a2b")),
        (Version::HTTP_2, None, Some("1a2b")),
        (Version::HTTP_11, None, Some("1a2b")),
        // No visitor can send them so, and the body goes raw.
        (Version::HTTP_11, Some(5), None),
    ] {
        let mut asked = request(Method::POST, "/body-back", Body::flow(Hello::new(length)));
        *asked.version_mut() = version;
        let response = edge.send(tunnel(), asked).await.unwrap();
        assert_eq!(response.headers().get("x-length").is_some(), length.is_some(), "{version:?} {length:?}");
        let (mut body, mut data, mut trailers) = (response.into_body(), Vec::new(), None);
        while let Some(frame) = soon("more of the body", body.frame()).await {
            match frame.unwrap().into_data() {
                Ok(piece) => data.extend_from_slice(&piece),
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        assert_eq!(data, b"hello");
        let checksum = trailers.map(|trailers| trailers["x-checksum"].clone());
        assert_eq!(checksum.as_ref().map(|value| value.to_str().unwrap()), expected, "{version:?} {length:?}");
    }
}
