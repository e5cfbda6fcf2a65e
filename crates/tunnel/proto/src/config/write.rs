//! A configuration as JSON.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{OriginRequest, TunnelConfig};

fn seconds(duration: Duration) -> Value {
    duration.as_secs().into()
}

fn origin(of: &OriginRequest) -> Value {
    let mut out = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            out.insert(key.to_owned(), value);
        }
    };
    put("connectTimeout", of.connect_timeout.map(seconds));
    put("tlsTimeout", of.tls_timeout.map(seconds));
    put("tcpKeepAlive", of.tcp_keep_alive.map(seconds));
    put("noHappyEyeballs", of.no_happy_eyeballs.map(Value::from));
    put("keepAliveConnections", of.keep_alive_connections.map(Value::from));
    put("keepAliveTimeout", of.keep_alive_timeout.map(seconds));
    put("httpHostHeader", of.http_host_header.clone().map(Value::from));
    put("originServerName", of.origin_server_name.clone().map(Value::from));
    put("matchSNItoHost", of.match_sni_to_host.map(Value::from));
    put("caPool", of.ca_pool.clone().map(Value::from));
    put("noTLSVerify", of.no_tls_verify.map(Value::from));
    put("disableChunkedEncoding", of.disable_chunked_encoding.map(Value::from));
    put("http2Origin", of.http2_origin.map(Value::from));
    put("bastionMode", of.bastion_mode.map(Value::from));
    put("proxyAddress", of.proxy_address.clone().map(Value::from));
    put("proxyPort", of.proxy_port.map(Value::from));
    put("proxyType", of.proxy_type.clone().map(Value::from));
    put(
        "ipRules",
        of.ip_rules.as_ref().map(|rules| {
            rules.iter().map(|rule| json!({ "prefix": rule.prefix, "ports": rule.ports, "allow": rule.allow })).collect()
        }),
    );
    put("access", of.access.as_ref().map(|access| {
        json!({ "required": access.required, "teamName": access.team_name, "audTag": access.aud_tag, "environment": access.environment })
    }));
    Value::Object(out)
}

fn value(config: &TunnelConfig, origin_of: impl Fn(&OriginRequest) -> Value) -> Map<String, Value> {
    let rule = |rule: &super::IngressRule| {
        let mut out = Map::new();
        if !rule.hostname.is_empty() {
            out.insert("hostname".into(), rule.hostname.clone().into());
        }
        if let Some(path) = &rule.path {
            out.insert("path".into(), path.clone().into());
        }
        out.insert("service".into(), rule.service.to_string().into());
        out.insert("originRequest".into(), origin_of(&rule.origin_request));
        Value::Object(out)
    };
    let mut warp = Map::new();
    if let Some(timeout) = config.warp_routing.connect_timeout {
        warp.insert("connectTimeout".into(), seconds(timeout));
    }
    if let Some(period) = config.warp_routing.tcp_keep_alive {
        warp.insert("tcpKeepAlive".into(), seconds(period));
    }
    if let Some(flows) = config.warp_routing.max_active_flows {
        warp.insert("maxActiveFlows".into(), flows.into());
    }
    let mut out = Map::new();
    out.insert("ingress".into(), config.ingress.iter().map(rule).collect());
    out.insert("warp-routing".into(), Value::Object(warp));
    out
}

pub(super) fn json(config: &TunnelConfig) -> Bytes {
    let mut out = value(config, origin);
    out.insert("originRequest".into(), origin(&config.origin_request));
    serde_json::to_vec(&out).expect("a tree of values serialises").into()
}

/// The top level's settings are merged into each rule, as the stock agent does.
pub(super) fn local(config: &TunnelConfig, flags: &BTreeMap<String, String>) -> Bytes {
    let mut out = value(config, |rule| {
        let (Value::Object(mut merged), Value::Object(own)) = (origin(&config.origin_request), origin(rule)) else {
            return Value::Null;
        };
        merged.extend(own);
        Value::Object(merged)
    });
    out.insert("__configuration_flags".into(), json!(flags));
    serde_json::to_vec(&out).expect("a tree of values serialises").into()
}
