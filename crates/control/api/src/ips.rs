//! Where this node is reached from outside, for whoever keeps a firewall's list (api-v4 §14). Nobody is asked who they are.

use std::net::IpAddr;

use axum::extract::State;
use poterne_keys::sha256;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    answer::Answer,
    door::Door,
    openapi::components::shown,
    routes::{Routes, open},
};

/// `/ips`, for everybody.
pub(crate) fn routes() -> Routes {
    Routes::of("Addresses", "Where this node is reached from outside.").get("/ips", show, open("Tell the node's addresses"))
}

shown![Addresses];

/// Networks of one address each, and a tag that changes with them.
#[derive(Serialize, ToSchema)]
struct Addresses {
    ipv4_cidrs: Vec<String>,
    ipv6_cidrs: Vec<String>,
    etag: String,
}

fn object(addresses: &[IpAddr]) -> Addresses {
    let of = |wanted: fn(&IpAddr) -> bool, bits: u8| {
        let mut cidrs: Vec<_> = addresses.iter().filter(|address| wanted(address)).map(|ip| format!("{ip}/{bits}")).collect();
        cidrs.sort();
        cidrs
    };
    let (ipv4_cidrs, ipv6_cidrs) = (of(IpAddr::is_ipv4, 32), of(IpAddr::is_ipv6, 128));
    let digest = sha256([ipv4_cidrs.join(","), ipv6_cidrs.join(",")].join(";").as_bytes());
    let etag = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    Addresses { ipv4_cidrs, ipv6_cidrs, etag }
}

async fn show(State(door): State<Door>) -> Answer<Addresses> {
    Answer::success(object(&door.app.public_addresses()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_as_networks_and_the_tag_changes_with_them() {
        let of = |addresses: &[&str]| object(&addresses.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>());
        let told = of(&["203.0.113.10", "2001:db8::10", "203.0.113.1"]);
        assert_eq!(
            (told.ipv4_cidrs.join(" "), told.ipv6_cidrs.join(" ")),
            ("203.0.113.1/32 203.0.113.10/32".into(), "2001:db8::10/128".into())
        );
        assert_eq!(told.etag, of(&["203.0.113.1", "203.0.113.10", "2001:db8::10"]).etag, "in whichever order they stand");
        assert_ne!(told.etag, of(&["203.0.113.1"]).etag);
    }
}
