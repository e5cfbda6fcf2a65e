//! The end-to-end table, a row for each thing that must work, a column for each agent and transport.
//!
//! A test is called `PEERS::COLUMN::ROW`: the first segment names the peers that it needs, joined by `_` (`ours`: none but our own
//! programs), and a column that begins with `stock` needs the stock agent. `cargo xtask test --without` filters by these words.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

/// Makes a test of each row for each agent and transport; the rows after `ours alone` are promises of our own agent's.
macro_rules! columns {
    ($($row:ident),+ $(,)? $(; ours alone: $($own:ident),+ $(,)?)?) => {
        columns!(@ quic, false, "quic", $($row),+ $(, $($own),+)?);
        columns!(@ http2, false, "http2", $($row),+ $(, $($own),+)?);
        columns!(@ stock_quic, true, "quic", $($row),+);
        columns!(@ stock_http2, true, "http2", $($row),+);
    };
    (@ $column:ident, $stock:literal, $protocol:literal, $($row:ident),+) => {
        mod $column {
            $(
                #[test]
                fn $row() {
                    super::$row(poterne_e2e::Kind { stock: $stock, protocol: $protocol });
                }
            )+
        }
    };
}

/// Makes a test of each row, in a network of its own that has the addresses of `poterne_e2e::tree`.
macro_rules! alone {
    ($($row:ident),+ $(,)?) => {
        mod alone {
            $(
                #[test]
                fn $row() {
                    poterne_e2e::tree::alone(concat!(module_path!(), "::", stringify!($row)), super::$row);
                }
            )+
        }
    };
}

mod aiohttp;
mod aiohttp_aioquic_curl_dnsperf_h2load_nginx_websockets;
mod aioquic;
mod aioquic_curl_h2_tree;
mod aioquic_grpc;
mod aioquic_h2;
mod aiosmtpd;
mod certbot;
mod chromium_openssl;
mod cloudflare;
mod cloudflare_curl_dig_tree_unbound;
mod curl;
mod curl_dig_pebble;
mod curl_dig_tree_unbound;
mod curl_nginx;
mod curl_nginx_tree;
mod curl_opentelemetry;
mod delv;
mod delv_dig_nsd;
mod delv_dig_tree_unbound;
mod dig;
mod dig_dnsperf_kdig_tree_unbound;
mod dig_kdig;
mod dig_knotd;
mod dig_knotd_nsd;
mod dig_nsd;
mod dig_tree_unbound;
mod dig_tree_unbound_zonemaster;
mod dig_unbound;
mod dnsperf;
mod externaldns;
mod grpc;
mod h2load;
mod kdig;
mod lexicon;
mod octodns;
mod openssl;
mod ours;
mod pebble_python;
mod postgres;
mod python;
mod schemathesis_validator;
mod slowhttptest;
mod sslscan;
mod terraform;
mod testssl;
mod typescript;
mod websockets;
