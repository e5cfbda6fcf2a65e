//! What is asked for where a zone is not given whole: names that recur in many zones (edge-behaviour §1.3).
//!
//! A host is asked for its A record alone: a CNAME comes along with that, and what exists is asked for the rest.

use poterne_dns_resolver::Question;
use poterne_model::{Name, Rtype};

/// Most questions of one scan, those that follow from answers included.
pub const QUESTIONS_MAX: usize = 320;

/// Types asked of the zone itself.
const APEX: [Rtype; 8] = [Rtype::A, Rtype::Aaaa, Rtype::Mx, Rtype::Txt, Rtype::Caa, Rtype::Ns, Rtype::Srv, Rtype::Https];

const WEB: &str = "www m mobile api app apps dev beta test staging stage demo admin portal dashboard panel blog shop store forum wiki \
    docs help support status news cdn static assets img images media files download upload video events jobs careers my account login \
    auth sso id secure pay billing";

const INFRASTRUCTURE: &str = "ns1 ns2 ns3 ns4 dns vpn remote gateway git gitlab jenkins ci grafana prometheus monitor kibana nextcloud \
    cloud owncloud drive office db sql mysql pgsql redis proxy server host ssh ftp sftp nas home plex jellyfin ha";

const MAIL: &str = "mail mail1 mail2 webmail smtp smtp1 imap pop pop3 mx mx1 mx2 email exchange owa autodiscover autoconfig relay \
    newsletter lists";

const HOSTING: &str = "cpanel whm webdisk cpcalendars cpcontacts plesk directadmin";

const MICROSOFT: &str = "msoid lyncdiscover sip enterpriseregistration enterpriseenrollment";

const SERVICES: &str = "_sip._tls _sipfederationtls._tcp _autodiscover._tcp _imaps._tcp _submission._tcp _submissions._tcp \
    _caldavs._tcp _carddavs._tcp _xmpp-client._tcp _xmpp-server._tcp _matrix-fed._tcp _minecraft._tcp";

const TEXTS: &str = "_dmarc _mta-sts _smtp._tls default._bimi";

/// A host of MTA-STS' policy (RFC 8461).
const POLICIES: &str = "mta-sts";

/// Selectors of DKIM keys (RFC 6376), below `_domainkey`.
const SELECTORS: &str = "default dkim mail google selector1 selector2 s1 s2 k1 k2 k3 mandrill sendgrid sg smtp mxvault zoho zmail \
    protonmail protonmail2 protonmail3 fm1 fm2 fm3 sig1 mailjet brevo resend ses pm krs everlytickey1 everlytickey2 turbo-smtp";

/// Hosts that serve something else than HTTP, so that the edge is not to stand before them.
const NOT_WEB: &str = "ns1 ns2 ns3 ns4 dns vpn remote gateway db sql mysql pgsql redis ssh ftp sftp sip mail mail1 mail2 smtp smtp1 imap \
    pop pop3 mx mx1 mx2 email exchange relay autodiscover autoconfig lists msoid lyncdiscover enterpriseregistration \
    enterpriseenrollment proxy host server";

/// The questions of a scan, in the order they are asked.
pub fn questions(apex: &Name) -> Vec<Question> {
    let mut questions: Vec<Question> = APEX.iter().map(|rtype| Question::new(apex.clone(), *rtype)).collect();
    let mut ask = |label: &str, rtype: Rtype| {
        // A name that would be too long is none that anybody could ask for.
        if let Ok(name) = Name::parse(&format!("{label}.{apex}")) {
            questions.push(Question::new(name, rtype));
        }
    };
    for hosts in [WEB, MAIL, INFRASTRUCTURE, HOSTING, MICROSOFT, POLICIES] {
        hosts.split_whitespace().for_each(|host| ask(host, Rtype::A));
    }
    TEXTS.split_whitespace().for_each(|label| ask(label, Rtype::Txt));
    SELECTORS.split_whitespace().for_each(|selector| ask(&format!("{selector}._domainkey"), Rtype::Txt));
    SERVICES.split_whitespace().for_each(|service| ask(service, Rtype::Srv));
    questions
}

/// What is asked of a host that exists, beside its A records: its IPv6 addresses. A CNAME is asked nothing more.
pub fn follow_up(asked: &Question, is_alias: bool) -> Option<Question> {
    (asked.rtype == Rtype::A && !is_alias).then(|| Question::new(asked.name.clone(), Rtype::Aaaa))
}

/// What finds a wildcard: names that nobody has, with what they are asked for (RFC 4592).
pub fn wildcard_questions(apex: &Name, labels: [&str; 2]) -> Vec<Question> {
    let [first, second] = labels.map(|label| Name::parse(&format!("{label}.{apex}")).ok());
    let first = [Rtype::A, Rtype::Aaaa, Rtype::Txt, Rtype::Mx].map(|rtype| first.clone().map(|name| Question::new(name, rtype)));
    first.into_iter().chain([second.map(|name| Question::new(name, Rtype::A))]).flatten().collect()
}

/// Whether the edge may well stand before a host of this name, which has this place under the zone.
pub fn is_web(name: &Name, apex: &Name) -> bool {
    let label = name.as_str().strip_suffix(apex.as_str()).map_or("", |rest| rest.trim_end_matches('.'));
    !label.split('.').any(|label| label.starts_with('_')) && !NOT_WEB.split_whitespace().any(|other| other == label)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_scan_asks_each_question_once_and_not_too_many() {
        let apex = Name::parse("example.com").unwrap();
        let all = questions(&apex);
        let different: HashSet<_> = all.iter().cloned().collect();
        assert_eq!(all.len(), different.len());
        assert!((170..=230).contains(&all.len()), "{}", all.len());
        let asks = |name: &str, rtype| all.contains(&Question::new(Name::parse(name).unwrap(), rtype));
        assert!(asks("example.com", Rtype::Mx) && asks("www.example.com", Rtype::A));
        assert!(asks("google._domainkey.example.com", Rtype::Txt) && asks("_imaps._tcp.example.com", Rtype::Srv));
        assert!(!all.iter().any(|question| question.name.as_str().starts_with("_acme-challenge")));
    }

    #[test]
    fn mail_and_what_speaks_no_http_is_not_for_the_edge() {
        let apex = Name::parse("example.com").unwrap();
        let web = |name: &str| is_web(&Name::parse(name).unwrap(), &apex);
        assert!(web("example.com") && web("www.example.com") && web("webmail.example.com") && web("*.example.com"));
        assert!(!web("mail.example.com") && !web("ssh.example.com") && !web("ns1.example.com"));
        assert!(!web("x._domainkey.example.com"));
    }
}
