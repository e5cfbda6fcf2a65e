use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::mpsc;

use super::{
    pump::{Pump, Sink},
    *,
};

/// Takes a piece whenever the test allows one.
struct Slow(mpsc::Receiver<()>);

impl Sink for Slow {
    async fn data(&mut self, _: Bytes) -> Result<(), String> {
        self.0.recv().await.ok_or_else(|| "the test is over".to_owned())
    }
    async fn end(&mut self, _: Option<HeaderMap>) -> Result<(), String> {
        Ok(())
    }
    fn abort(&mut self) {}
}

/// A body of three pieces.
struct Three(u8);

impl http_body::Body for Three {
    type Data = Bytes;
    type Error = poterne_edge_http::BodyError;
    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        if self.0 == 3 {
            return std::task::Poll::Ready(None);
        }
        self.0 += 1;
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(b"piece")))))
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_moves_keeps_the_limit_away() {
    let limit = Duration::from_secs(100);
    let (allow, allowed) = mpsc::channel(1);
    let pump = Pump::start(Body::flow(Three(0)), Slow(allowed));
    let start = tokio::time::Instant::now();
    let pieces = async {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(90)).await;
            allow.send(()).await.expect("the pump waits");
        }
        std::future::pending::<()>().await;
    };
    let outcome = tokio::select! {
        outcome = patiently(Some(limit), Some(&pump), std::future::pending::<()>()) => outcome,
        () = pieces => unreachable!(),
    };
    assert_eq!(outcome, Err(UpstreamError::Timeout(100)));
    assert!(start.elapsed() > Duration::from_secs(270), "the last piece went at 270 s, the limit holds from there");
}

#[tokio::test(start_paused = true)]
async fn without_a_body_the_limit_holds_from_the_start() {
    let start = tokio::time::Instant::now();
    let outcome = patiently(Some(Duration::from_secs(100)), None, std::future::pending::<()>()).await;
    assert_eq!((outcome, start.elapsed().as_secs()), (Err(UpstreamError::Timeout(100)), 100));
}

#[tokio::test]
async fn a_request_that_its_visitor_breaks_off_waits_for_no_answer() {
    struct Broken;
    impl http_body::Body for Broken {
        type Data = Bytes;
        type Error = poterne_edge_http::BodyError;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
            std::task::Poll::Ready(Some(Err(poterne_edge_http::BodyError::Visitor("a bad chunk".into()))))
        }
    }
    let pump = Pump::start(Body::flow(Broken), Slow(mpsc::channel(1).1));
    let outcome = patiently(None, Some(&pump), std::future::pending::<()>()).await;
    assert_eq!(outcome, Err(UpstreamError::Visitor("a bad chunk".into())));
    // The agent's own end of it may be there by then.
    let outcome = patiently(None, Some(&pump), std::future::ready(())).await;
    assert_eq!(outcome, Err(UpstreamError::Visitor("a bad chunk".into())));
}

#[tokio::test]
async fn what_was_sent_comes_back_whole() {
    let (allow, allowed) = mpsc::channel(4);
    let pump = Pump::start(Body::flow(Three(0)), Slow(allowed));
    allow.send(()).await.expect("the pump waits");
    while pump.sent() == 0 {
        tokio::task::yield_now().await;
    }
    let mut body = pump.take_back().await.expect("little was sent");
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        all.extend_from_slice(&frame.expect("no error").into_data().expect("data"));
    }
    assert_eq!(all, b"piecepiecepiece");
}

#[tokio::test]
async fn what_is_kept_of_small_pieces_is_kept_together() {
    let (allow, allowed) = mpsc::channel(4);
    let pump = Pump::start(Body::flow(Three(0)), Slow(allowed));
    for _ in 0..3 {
        allow.send(()).await.expect("the pump waits");
    }
    while pump.sent() < 3 {
        tokio::task::yield_now().await;
    }
    let mut body = pump.take_back().await.expect("little was sent");
    let mut pieces = Vec::new();
    while let Some(frame) = body.frame().await {
        pieces.push(frame.expect("no error").into_data().expect("data"));
    }
    assert_eq!(pieces, ["piece", "piecepiece"]);
}

#[tokio::test]
async fn trailers_are_sent_again_with_their_body() {
    struct Ended(mpsc::UnboundedSender<Option<HeaderMap>>);
    impl Sink for Ended {
        async fn data(&mut self, _: Bytes) -> Result<(), String> {
            Ok(())
        }
        async fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), String> {
            self.0.send(trailers).map_err(|error| error.to_string())
        }
        fn abort(&mut self) {}
    }
    struct Summed(u8);
    impl http_body::Body for Summed {
        type Data = Bytes;
        type Error = poterne_edge_http::BodyError;
        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
            self.0 += 1;
            let trailers = || HeaderMap::from_iter([(http::header::ETAG, http::HeaderValue::from_static("1"))]);
            std::task::Poll::Ready(match self.0 {
                1 => Some(Ok(http_body::Frame::data(Bytes::from_static(b"piece")))),
                2 => Some(Ok(http_body::Frame::trailers(trailers()))),
                _ => None,
            })
        }
    }
    let (ended, mut trailers) = mpsc::unbounded_channel();
    let pump = Pump::start(Body::flow(Summed(0)), Ended(ended));
    let sent = trailers.recv().await.flatten().expect("it ends with trailers");
    let mut body = pump.take_back().await.expect("little was sent");
    let first = body.frame().await.expect("a frame").expect("no error");
    assert_eq!(first.into_data().expect("data"), "piece");
    let last = body.frame().await.expect("a frame").expect("no error");
    assert_eq!(last.into_trailers().expect("trailers"), sent);
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn once_answered_nothing_is_kept() {
    let (allow, allowed) = mpsc::channel(4);
    let pump = Pump::start(Body::flow(Three(0)), Slow(allowed));
    for _ in 0..3 {
        allow.send(()).await.expect("the pump waits");
    }
    pump.answered();
    assert!(pump.take_back().await.is_none());
}
