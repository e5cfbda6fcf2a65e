//! `[acme]`: what it says, held together before anything is ordered.

use std::{fs, path::Path};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use poterne_acme::{Authority, Method};
use poterne_control_app::AcmeSettings;
use poterne_control_notary::{AuthoritySettings, Binding};
use poterne_keys::Secret;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::{Acme, AcmeAuthority, Config, ConfigError, Hidden};

/// Longest file of authorities, in bytes.
const AUTHORITIES_BYTES_MAX: u64 = 1024 * 1024;

/// What the keys alone can tell; files are not looked into.
pub(super) fn check(acme: &Acme) -> Result<(), ConfigError> {
    let wrong = |what: String| Err(ConfigError::Inconsistent(what));
    let first = acme.first();
    if acme.directory.is_none() {
        let keys = [
            (acme.ca_file.is_some(), "ca_file"),
            (acme.eab_kid.is_some(), "eab_kid"),
            (acme.eab_hmac_key.is_some(), "eab_hmac_key"),
            (acme.profile.is_some(), "profile"),
            (!acme.issuers.is_empty(), "issuers"),
            (!acme.others.is_empty(), "others"),
        ];
        if let Some((_, key)) = keys.iter().find(|(is_set, _)| *is_set) {
            return wrong(format!("[acme] {key} is set and directory is not: name the authority's directory"));
        }
    }
    if let Some(method) = acme.challenges.iter().find(|text| Method::parse(text).is_none()) {
        let known = Method::ALL.map(Method::as_str).join(", ");
        return wrong(format!("[acme] challenges: {method:?} is no way to prove a name; known are {known}"));
    }
    let email = acme.email.as_deref().unwrap_or("a@b");
    if !email.contains('@') || email.chars().any(|c| c.is_whitespace() || c.is_control() || c == ',') {
        return wrong(format!("[acme] email: {email:?} is no mail address"));
    }
    let mut seen = Vec::new();
    for one in first.iter().chain(&acme.others) {
        let directory = &one.directory;
        if !directory.starts_with("https://") {
            return wrong(format!("[acme] directory: {directory:?} is no https URL"));
        }
        if seen.contains(&directory) {
            return wrong(format!("[acme] {directory:?} is named twice"));
        }
        seen.push(directory);
        match (&one.eab_kid, &one.eab_hmac_key) {
            (Some(_), Some(Hidden(key))) if decoded(key).is_none() => {
                return wrong("[acme] eab_hmac_key is not base64url, as authorities give it".to_owned());
            }
            (None, Some(_)) | (Some(_), None) => {
                return wrong("[acme] eab_kid and eab_hmac_key belong together: set both as the authority gave them".to_owned());
            }
            _ => {}
        }
        let is_name = |text: &String| poterne_model::Name::parse(text).is_ok();
        if let Some(issuer) = one.issuers.iter().find(|text| !is_name(text)) {
            return wrong(format!("[acme] issuers: {issuer:?} is no name, as CAA records have it"));
        }
    }
    Ok(())
}

impl Acme {
    /// The authority that is asked before the others.
    fn first(&self) -> Option<AcmeAuthority> {
        Some(AcmeAuthority {
            directory: self.directory.clone()?,
            ca_file: self.ca_file.clone(),
            eab_kid: self.eab_kid.clone(),
            eab_hmac_key: self.eab_hmac_key.clone(),
            profile: self.profile.clone(),
            issuers: self.issuers.clone(),
        })
    }

    fn authorities(&self) -> impl Iterator<Item = AcmeAuthority> + '_ {
        self.first().into_iter().chain(self.others.iter().cloned())
    }
}

impl Config {
    /// Which authorities the verbs know of, and how names are proven.
    pub fn acme_settings(&self) -> AcmeSettings {
        AcmeSettings {
            authorities: self.acme.authorities().map(|one| named(&one)).collect(),
            methods: self.acme.challenges.iter().filter_map(|text| Method::parse(text)).collect(),
        }
    }

    /// What it takes to order of them. Reads the files that `[acme]` names.
    pub fn acme_authorities(&self) -> Result<Vec<AuthoritySettings>, ConfigError> {
        self.acme.authorities().map(|one| self.authority(&one)).collect()
    }

    fn authority(&self, one: &AcmeAuthority) -> Result<AuthoritySettings, ConfigError> {
        let binding = one
            .eab_kid
            .as_ref()
            .zip(one.eab_hmac_key.as_ref())
            .and_then(|(kid, Hidden(key))| Some(Binding { key_id: kid.clone(), key: Secret::new(decoded(key)?) }));
        Ok(AuthoritySettings {
            authority: named(one),
            roots: one.ca_file.as_deref().map(roots).transpose()?,
            contact: self.acme.email.clone(),
            binding,
            issuers: one.issuers.clone(),
        })
    }
}

fn named(one: &AcmeAuthority) -> Authority {
    Authority { directory: one.directory.clone(), profile: one.profile.clone() }
}

fn decoded(key: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(key.trim_end_matches('=')).ok().filter(|key| !key.is_empty())
}

fn roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let wrong = |why: String| ConfigError::Inconsistent(format!("[acme] ca_file: {} {why}", path.display()));
    let length = fs::metadata(path).map_err(|error| wrong(format!("cannot be read: {error}")))?.len();
    if length > AUTHORITIES_BYTES_MAX {
        return Err(wrong(format!("has {length} bytes: at most {AUTHORITIES_BYTES_MAX} are read")));
    }
    let bytes = fs::read(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match roots {
        Ok(roots) if !roots.is_empty() => Ok(roots),
        Ok(_) => Err(wrong("holds no certificate in PEM form".to_owned())),
        Err(error) => Err(wrong(format!("is not PEM: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("poterne.toml");
        std::fs::write(&path, format!("version = 1\n[acme]\n{text}")).unwrap();
        Config::load(Some(&path), [], &[])
    }

    #[test]
    fn without_a_directory_nothing_is_ordered() {
        let config = load("").unwrap();
        assert!(config.acme_settings().authorities.is_empty() && config.acme_authorities().unwrap().is_empty());
        assert_eq!(config.acme_settings().methods, Method::ALL);
    }

    #[test]
    fn authorities_are_asked_in_the_order_in_which_they_stand() {
        let config = load(
            "directory = \"https://a.test/dir\"\nemail = \"me@example.org\"\nprofile = \"shortlived\"\nchallenges = [\"http-01\"]\n\
             others = [{ directory = \"https://b.test/dir\", eab_kid = \"kid-1\", eab_hmac_key = \"AAEC\", issuers = [\"b.test\"] }]\n",
        )
        .unwrap();
        let settings = config.acme_settings();
        assert_eq!(settings.methods, [Method::Http01]);
        let directories: Vec<&str> = settings.authorities.iter().map(|one| one.directory.as_str()).collect();
        assert_eq!(
            (directories, settings.authorities[0].profile.as_deref()),
            (vec!["https://a.test/dir", "https://b.test/dir"], Some("shortlived"))
        );
        let authorities = config.acme_authorities().unwrap();
        let binding = authorities[1].binding.as_ref().unwrap();
        assert_eq!((binding.key_id.as_str(), binding.key.expose()), ("kid-1", &[0, 1, 2][..]));
        assert_eq!(
            (authorities[1].contact.as_deref(), &authorities[1].issuers[..]),
            (Some("me@example.org"), &["b.test".to_owned()][..])
        );
        assert!(!format!("{config:?}").contains("AAEC"));
    }

    #[test]
    fn what_does_not_fit_is_told_by_its_key() {
        for (text, part) in [
            ("eab_kid = \"x\"\n", "eab_kid is set and directory is not"),
            ("directory = \"http://a.test/dir\"\n", "no https URL"),
            ("directory = \"https://a.test/dir\"\neab_kid = \"x\"\n", "belong together"),
            ("directory = \"https://a.test/dir\"\neab_kid = \"x\"\neab_hmac_key = \"%\"\n", "not base64url"),
            ("directory = \"https://a.test/dir\"\nchallenges = [\"dns-02\"]\n", "dns-02"),
            ("directory = \"https://a.test/dir\"\nissuers = [\"a b\"]\n", "issuers"),
            ("directory = \"https://a.test/dir\"\nothers = [{ directory = \"https://a.test/dir\" }]\n", "named twice"),
            ("email = \"nobody\"\n", "no mail address"),
        ] {
            let error = load(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let missing = load("directory = \"https://a.test/dir\"\nca_file = \"/nowhere.pem\"\n").unwrap();
        assert!(missing.acme_authorities().unwrap_err().to_string().contains("/nowhere.pem cannot be read"));
    }
}
