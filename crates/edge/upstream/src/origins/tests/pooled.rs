//! Which connection a request takes, and what becomes of it.

use std::time::Instant;

use super::*;
use crate::Over;

#[tokio::test]
async fn one_connection_carries_one_request_after_another() {
    let (origins, at) = (origins(), origin(numbered).await);
    for _ in 0..100 {
        assert_eq!(text(origins.send(route(at), get()).await).await, "0");
    }
    assert_eq!((origins.shared.counters.opened.get(), origins.shared.counters.reused.get()), (1, 99));
    // Two at once take two.
    let (one, other) = tokio::join!(origins.send(route(at), get()), origins.send(route(at), get()));
    let mut numbers = [text(one).await, text(other).await];
    numbers.sort();
    assert_eq!(numbers, ["0", "1"]);
}

/// So many visitors at a time, each of whom asks again as soon as it was answered.
pub(super) async fn steady_load(origins: &Untraced, route: OriginRoute) {
    let visitors = (0..16).map(|visitor| {
        let route = route.clone();
        async move {
            for asked in 0..200 {
                // Some of it may not be repeated.
                let method = if (visitor + asked) % 4 == 0 { Method::POST } else { Method::GET };
                text(origins.send(route.clone(), request(method, Body::empty())).await).await;
            }
        }
    });
    futures_util::future::join_all(visitors).await;
    let counters = &origins.shared.counters;
    let [requests, opened, reused] = [&counters.requests, &counters.opened, &counters.reused].map(|counter| counter.get());
    assert_eq!((requests, opened + reused), (3_200, 3_200));
    assert!(reused * 100 >= requests * 99, "{opened} connections for {requests} requests");
}

#[tokio::test]
async fn at_steady_load_a_hundred_requests_take_one_connection() {
    let (origins, at) = (origins(), origin(numbered).await);
    steady_load(&origins, route(at)).await;
}

#[tokio::test]
async fn what_is_one_zones_is_no_others() {
    let (origins, at) = (origins(), origin(numbered).await);
    for _ in 0..3 {
        assert_eq!(text(origins.send(route_of(ZONE, at), get()).await).await, "0");
        assert_eq!(text(origins.send(route_of(OTHER_ZONE, at), get()).await).await, "1");
    }
}

#[tokio::test]
async fn an_answer_without_a_body_gives_its_connection_back_too() {
    let at = origin(|_, mut stream| async move {
        for answer in ["204 No Content\r\n", "304 Not Modified\r\nContent-Length: 5\r\n", "200 OK\r\nContent-Length: 5\r\n"] {
            heard(&mut stream, "\r\n\r\n").await?;
            stream.write_all(format!("HTTP/1.1 {answer}\r\n").as_bytes()).await?;
        }
        heard(&mut stream, "never").await.map(drop)
    })
    .await;
    let origins = origins();
    for (method, status) in [(Method::GET, 204), (Method::GET, 304), (Method::HEAD, 200)] {
        let answer = origins.send(route(at), request(method, Body::empty())).await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(whole(answer.into_body()).await.unwrap(), b"");
    }
    assert_eq!(origins.shared.counters.opened.get(), 1);
}

/// Answers one request of each connection, and hangs up in the middle of the next; the last connection is a good one.
async fn hangs_up(number: usize, mut stream: TcpStream) -> io::Result<()> {
    if number > 0 {
        return numbered(number, stream).await;
    }
    heard(&mut stream, "\r\n\r\n").await?;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n0").await?;
    heard(&mut stream, "\r\n\r\n").await?;
    Ok(())
}

#[tokio::test]
async fn a_request_that_may_be_repeated_survives_a_dying_connection() {
    for (method, body) in [(Method::GET, Body::empty()), (Method::PUT, Body::full("x\r\n\r\n"))] {
        let (origins, at) = (origins(), origin(hangs_up).await);
        assert_eq!(text(origins.send(route(at), get()).await).await, "0");
        assert_eq!(text(origins.send(route(at), request(method, body)).await).await, "1");
        assert_eq!(origins.shared.counters.repeated.get(), 1);
    }
}

#[tokio::test]
async fn who_traces_a_request_is_told_each_connection_it_took() {
    let (origins, at) = (origins(), origin(hangs_up).await);
    for (expected, tries) in [("0", &[false][..]), ("1", &[true, false])] {
        let mut trail = Trail::on();
        assert_eq!(text(origins.0.send(route(at), get(), &mut trail).await).await, expected);
        let told: Vec<_> = trail.into_tries().into_iter().map(|one| (one.over, one.failed.is_some())).collect();
        assert_eq!(told, tries.iter().map(|failed| (Over::Origin(at), *failed)).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn one_that_may_not_is_not_sent_twice() {
    let (origins, at) = (origins(), origin(hangs_up).await);
    assert_eq!(text(origins.send(route(at), get()).await).await, "0");
    let error = fault(origins.send(route(at), request(Method::POST, Body::empty())).await);
    assert!(matches!(&error, OriginError::Invalid(who, why) if *who == at.to_string() && why.contains("closed")), "{error:?}");
    assert_eq!(origins.shared.counters.repeated.get(), 0);
}

#[tokio::test]
async fn a_connection_that_is_known_to_be_closed_is_not_taken() {
    let at = origin(|number, mut stream| async move {
        heard(&mut stream, "\r\n\r\n").await?;
        stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}").as_bytes()).await
    })
    .await;
    let origins = origins();
    for number in 0..5 {
        // Each is closed as soon as it was answered: nothing tells the origin from one whose time-out has come.
        assert_eq!(text(origins.send(route(at), request(Method::POST, Body::empty())).await).await, number.to_string());
        let idle = async || {
            let zone = origins.zone(ZONE);
            zone.sweep(&|_, _| true, Instant::now());
            origins.shared.counters.idle.get()
        };
        while idle().await > 0 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(origins.shared.counters.open.get(), 0);
}

#[tokio::test]
async fn an_old_connection_carries_nothing_that_may_not_be_repeated() {
    let (origins, at) = (origins(), origin(numbered).await);
    assert_eq!(text(origins.send(route(at), get()).await).await, "0");
    let zone = origins.zone(ZONE);
    let key = super::super::pool::Key { address: at, named: None };
    let later = Instant::now() + Duration::from_secs(2);
    assert!(zone.pool.take(&key, false, |_| true, later).is_none());
    assert!(zone.pool.take(&key, true, |_| true, later).is_some());
}

#[tokio::test]
async fn idle_connections_are_closed_in_time_and_their_zone_is_forgotten() {
    let at = origin(|_, mut stream| async move {
        heard(&mut stream, "\r\n\r\n").await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nKeep-Alive: timeout=11\r\n\r\n0").await?;
        heard(&mut stream, "never").await.map(drop)
    })
    .await;
    let origins = origins();
    text(origins.send(route(at), get()).await).await;
    let now = Instant::now();
    origins.sweep_at(now + Duration::from_secs(9));
    assert_eq!(origins.shared.counters.idle.get(), 1);
    origins.sweep_at(now + Duration::from_secs(11));
    assert_eq!((origins.shared.counters.idle.get(), origins.shared.counters.open.get()), (0, 0));
    assert!(origins.zones.read().unwrap().is_empty());
}

#[tokio::test]
async fn a_zone_has_so_many_connections_and_idle_ones_make_room() {
    let settings = Settings { connections_per_zone_max: 1, ..Settings::for_files(4096) };
    let origins = origins_with(settings, RootCertStore::empty());
    let (one, other) = (origin(numbered).await, origin(numbered).await);
    assert_eq!(text(origins.send(route(one), get()).await).await, "0");
    assert_eq!(text(origins.send(route(other), get()).await).await, "0", "the idle one was closed");
    assert_eq!(origins.shared.counters.open.get(), 1);
    // One whose answer is not read to its end is in use.
    let endless = origin(|_, mut stream| async move {
        heard(&mut stream, "\r\n\r\n").await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n1").await?;
        heard(&mut stream, "never").await.map(drop)
    })
    .await;
    let held = origins.send(route(endless), get()).await.unwrap();
    assert_eq!(fault(origins.send(route(other), get()).await), OriginError::TooManyConnections(1));
    assert_eq!(text(origins.send(route_of(OTHER_ZONE, other), get()).await).await, "1", "another zone has its own");
    drop(held);
    assert_eq!(text(origins.send(route(other), get()).await).await, "2");
}

#[tokio::test]
async fn one_dead_address_of_several_is_nobodys_concern() {
    let (origins, at) = (origins_with(hasty(), RootCertStore::empty()), origin(numbered).await);
    // Nobody listens at the other: an address of loopback, and the port was given to this test.
    let both = Place::Addresses(vec!["127.0.0.2".parse().unwrap(), ip(at)]);
    for _ in 0..30 {
        let request = request(Method::POST, Body::full("x"));
        let answer = origins.send(OriginRoute { place: both.clone(), ..route(at) }, request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }
    let nobody = Place::Addresses(vec!["127.0.0.2".parse().unwrap(), "127.0.0.3".parse().unwrap()]);
    let error = fault(origins.send(OriginRoute { place: nobody, ..route(at) }, get()).await);
    assert!(matches!(&error, OriginError::Refused(who) if who.contains("127.0.0.2") && who.contains("127.0.0.3")), "{error:?}");
}

#[tokio::test]
async fn only_where_the_account_may_go_is_gone() {
    let at = origin(numbered).await;
    let guard = Guard { allowed: Vec::new(), own: vec!["9.9.9.9".parse().unwrap()] };
    let origins = Origins::new(Settings::for_files(4096), RootCertStore::empty(), guard, None, &Metrics::new()).unwrap();
    let origins = Untraced::from(origins);
    assert!(matches!(fault(origins.send(route(at), get()).await), OriginError::Prohibited(_)));
    let own = OriginRoute { leg: Leg { port: 443, tls: None }, ..route("9.9.9.9:443".parse().unwrap()) };
    assert!(matches!(fault(origins.send(own, get()).await), OriginError::Own(_)));
    assert_eq!(origins.shared.counters.opened.get(), 0);
}
