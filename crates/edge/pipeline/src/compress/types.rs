//! Which content is worth compressing (edge-behaviour §2.12): the hosted service's list. Pure.

use http::HeaderValue;

const TEXT: &[&str] =
    &["css", "html", "javascript", "js", "plain", "richtext", "x-component", "x-java-source", "x-markdown", "x-script", "xml"];

const APPLICATION: &[&str] = &[
    "eot",
    "font",
    "font-sfnt",
    "font-woff",
    "geo+json",
    "graphql+json",
    "javascript",
    "javascript-binast",
    "json",
    "ld+json",
    "manifest+json",
    "opentype",
    "otf",
    "rss+xml",
    "truetype",
    "ttf",
    "vnd.api+json",
    "vnd.ms-fontobject",
    "wasm",
    "x-httpd-cgi",
    "x-javascript",
    "x-opentype",
    "x-otf",
    "x-perl",
    "x-protobuf",
    "x-ttf",
    "xhtml+xml",
    "xml",
];

const FONT: &[&str] = &["otf", "ttf", "x-woff"];

const IMAGE: &[&str] = &["svg+xml", "vnd.microsoft.icon", "x-icon"];

const MULTIPART: &[&str] = &["bag", "mixed"];

/// Whether a `Content-Type` is on the list.
pub(crate) fn is_listed(content_type: &HeaderValue) -> bool {
    let kind = content_type.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let Some(slash) = kind.iter().position(|byte| *byte == b'/') else { return false };
    let (family, name) = (&kind[..slash], &kind[slash + 1..]);
    let lists = [("text", TEXT), ("application", APPLICATION), ("image", IMAGE), ("font", FONT), ("multipart", MULTIPART)];
    lists.into_iter().any(|(known, names)| {
        family.eq_ignore_ascii_case(known.as_bytes()) && names.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_and_what_is_compressed_already_is_not() {
        let is_listed = |text| is_listed(&HeaderValue::from_static(text));
        for listed in
            ["text/html", "Text/HTML; charset=utf-8", "application/json ;v=1", "image/svg+xml", "font/ttf", "application/wasm"]
        {
            assert!(is_listed(listed), "{listed}");
        }
        for other in
            ["image/png", "application/zip", "text/event-stream", "application/grpc", "video/mp4", "text", "", "/", "font/woff2"]
        {
            assert!(!is_listed(other), "{other}");
        }
    }
}
