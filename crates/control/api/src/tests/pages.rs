//! The pages that links in mails lead to.

use axum::{
    body::Body,
    http::{Request, header},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http_body_util::BodyExt;
use poterne_control_app::LinkTo;
use poterne_keys::sha256;
use tower::ServiceExt;

use super::browser::{NAME, Node};

#[tokio::test]
async fn a_mailed_link_leads_to_a_page_in_the_readers_language() {
    let node = Node::begin().await;
    for (to, language, title) in [
        (LinkTo::Password, "en", "Choose a password"),
        (LinkTo::Password, "fr", "Choisir un mot de passe"),
        (LinkTo::Invitation, "en", "Accept an invitation"),
        (LinkTo::Invitation, "fr", "Accepter une invitation"),
    ] {
        let link = node.app.link(to, "pol_secret");
        let (page, _) = link.expose().split_once('#').unwrap();
        let path = page.strip_prefix(&format!("https://{NAME}")).unwrap();
        let get = async |fields: &[(&str, &str)]| {
            let mut request = Request::builder().uri(path).header(header::ACCEPT_LANGUAGE, format!("{language}, de;q=0.5"));
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            let response = node.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            let (head, body) = response.into_parts();
            (head, String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap())
        };
        let (head, body) = get(&[]).await;
        let field = |name: header::HeaderName| head.headers[name].to_str().unwrap().to_owned();
        assert_eq!((head.status.as_u16(), field(header::CONTENT_TYPE)), (200, "text/html; charset=utf-8".to_owned()));
        assert!(body.contains(&format!("<h1>{title}</h1>")) && field(header::CONTENT_LANGUAGE) == language, "{body}");
        // What runs and what it looks like is what the policy names, and nothing is fetched from elsewhere.
        let policy = field(header::CONTENT_SECURITY_POLICY);
        for (tag, directive) in [("script", "script-src"), ("style", "style-src")] {
            let inner = body.split_once(&format!("<{tag}>")).unwrap().1.split_once(&format!("</{tag}>")).unwrap().0;
            let digest = BASE64_STANDARD.encode(sha256(inner.as_bytes()));
            assert!(policy.contains(&format!("{directive} 'sha256-{digest}'")), "{policy}");
        }
        assert!(policy.starts_with("default-src 'none'; ") && policy.contains("frame-ancestors 'none'"), "{policy}");
        let (again, body) = get(&[("if-none-match", field(header::ETAG).as_str())]).await;
        assert_eq!((again.status.as_u16(), body.as_str()), (304, ""));
    }
}
