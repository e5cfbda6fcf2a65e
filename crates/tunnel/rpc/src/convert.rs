//! Between the wire's structs and the words of `tunnel/proto`.

use std::{net::IpAddr, time::Duration};

use capnp::Error;
use poterne_model::{ConnectionId, ConnectorId, TunnelId};
use poterne_tunnel_proto::{
    generated::tunnel_capnp::{
        connection_details, connection_error, connection_options, connection_response,
        registration_server::register_connection_params,
    },
    registration::{ClientInfo, ConnectionDetails, ConnectionOptions, RegisterConnection, RegistrationError},
    token::Secret,
};

/// Most feature strings read of an agent.
const FEATURES_MAX: u32 = 64;
/// Longest text kept of what an agent says of itself, in bytes.
const TEXT_BYTES_MAX: usize = 256;

fn text(text: capnp::text::Reader<'_>) -> Result<String, Error> {
    let text = text.to_str()?;
    if text.len() > TEXT_BYTES_MAX {
        return Err(Error::failed(format!("a text of {} bytes is longer than {TEXT_BYTES_MAX}", text.len())));
    }
    Ok(text.to_owned())
}

pub(crate) fn id(bytes: &[u8], what: &str) -> Result<[u8; 16], Error> {
    bytes.try_into().map_err(|_| Error::failed(format!("{what} has {} bytes, not 16", bytes.len())))
}

pub(crate) fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(four.into());
    }
    Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical())
}

pub(crate) fn read_register(params: register_connection_params::Reader<'_>) -> Result<RegisterConnection, Error> {
    let auth = params.get_auth()?;
    let options = params.get_options()?;
    let client = options.get_client()?;
    let features = client.get_features()?;
    if features.len() > FEATURES_MAX {
        return Err(Error::failed(format!("{} features are more than {FEATURES_MAX}", features.len())));
    }
    Ok(RegisterConnection {
        account_tag: text(auth.get_account_tag()?)?,
        tunnel_secret: Secret::new(auth.get_tunnel_secret()?.to_vec()),
        tunnel_id: TunnelId::from_bytes(id(params.get_tunnel_id()?, "the tunnel id")?),
        index: params.get_conn_index(),
        options: ConnectionOptions {
            client: ClientInfo {
                client_id: ConnectorId::from_bytes(id(client.get_client_id()?, "the connector id")?),
                features: features.iter().map(|feature| text(feature?)).collect::<Result<_, _>>()?,
                version: text(client.get_version()?)?,
                arch: text(client.get_arch()?)?,
            },
            origin_local_ip: address(options.get_origin_local_ip()?),
            replace_existing: options.get_replace_existing(),
            compression_quality: options.get_compression_quality(),
            previous_attempts: options.get_num_previous_attempts(),
        },
    })
}

pub(crate) fn write_register(request: &RegisterConnection, mut params: register_connection_params::Builder<'_>) {
    params.set_tunnel_id(request.tunnel_id.as_bytes());
    params.set_conn_index(request.index);
    let mut auth = params.reborrow().init_auth();
    auth.set_account_tag(&request.account_tag);
    auth.set_tunnel_secret(request.tunnel_secret.expose());
    write_options(&request.options, params.init_options());
}

fn write_options(options: &ConnectionOptions, mut out: connection_options::Builder<'_>) {
    match options.origin_local_ip {
        Some(IpAddr::V4(v4)) => out.set_origin_local_ip(&v4.to_ipv6_mapped().octets()),
        Some(IpAddr::V6(v6)) => out.set_origin_local_ip(&v6.octets()),
        None => {}
    }
    out.set_replace_existing(options.replace_existing);
    out.set_compression_quality(options.compression_quality);
    out.set_num_previous_attempts(options.previous_attempts);
    let mut client = out.init_client();
    client.set_client_id(options.client.client_id.as_bytes());
    client.set_version(&options.client.version);
    client.set_arch(&options.client.arch);
    let mut features = client.init_features(u32::try_from(options.client.features.len()).unwrap_or(0));
    for (index, feature) in (0..).zip(&options.client.features) {
        features.set(index, feature);
    }
}

pub(crate) fn write_answer(answer: &Result<ConnectionDetails, RegistrationError>, out: connection_response::Builder<'_>) {
    match answer {
        Ok(details) => {
            let mut out: connection_details::Builder<'_> = out.init_result().init_connection_details();
            out.set_uuid(details.id.as_bytes());
            out.set_location_name(&details.location);
            out.set_tunnel_is_remotely_managed(details.remotely_managed);
            if let Some(edges) = &details.edges {
                out.set_poterne_edges(edges);
            }
        }
        Err(error) => {
            let mut out: connection_error::Builder<'_> = out.init_result().init_error();
            out.set_cause(&error.cause);
            out.set_retry_after(i64::try_from(error.retry_after.as_nanos()).unwrap_or(i64::MAX));
            out.set_should_retry(error.should_retry);
        }
    }
}

pub(crate) fn read_answer(
    answer: connection_response::Reader<'_>,
) -> Result<Result<ConnectionDetails, RegistrationError>, Error> {
    use connection_response::result::Which;
    Ok(match answer.get_result().which()? {
        Which::ConnectionDetails(details) => {
            let details = details?;
            let edges = details.get_poterne_edges()?;
            Ok(ConnectionDetails {
                id: ConnectionId::from_bytes(id(details.get_uuid()?, "the connection id")?),
                location: text(details.get_location_name()?)?,
                remotely_managed: details.get_tunnel_is_remotely_managed(),
                edges: (!edges.is_empty()).then(|| edges.to_vec()),
            })
        }
        Which::Error(error) => {
            let error = error?;
            Err(RegistrationError {
                cause: error.get_cause()?.to_str()?.chars().take(TEXT_BYTES_MAX).collect(),
                retry_after: nanoseconds(error.get_retry_after()),
                should_retry: error.get_should_retry(),
            })
        }
    })
}

pub(crate) fn nanoseconds(nanos: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}
