//! `[mail]`: what it says, held together before anything is sent.

use std::{fs, path::Path};

use poterne_control_courier::{
    Languages,
    mail::{From, MailSettings, Server, ServerError},
};
use poterne_keys::Secret;

use super::{Config, ConfigError, Hidden, Mail, MailLanguage};

/// Longest file of a password, and of authorities, in bytes.
const PASSWORD_BYTES_MAX: u64 = 4096;
const AUTHORITIES_BYTES_MAX: u64 = 1024 * 1024;

/// What the keys alone can tell; files are not looked into, which not everybody who reads a configuration may.
pub(super) fn check(mail: &Mail) -> Result<(), ConfigError> {
    read(mail, |_| Ok(Secret::new(Vec::new()))).map(|_| ())
}

/// The server and the sender, if mail is sent. The password is where `password` says.
fn read(mail: &Mail, file: impl Fn(&Path) -> Result<Secret, ConfigError>) -> Result<Option<(Server, From)>, ConfigError> {
    let wrong = |what: String| ConfigError::Inconsistent(what);
    let Some(Hidden(smtp)) = &mail.smtp else {
        let without = [
            (mail.from.is_some(), "from"),
            (mail.password.is_some(), "password"),
            (mail.password_file.is_some(), "password_file"),
            (mail.ca_file.is_some(), "ca_file"),
        ];
        if let Some((_, key)) = without.iter().find(|(is_set, _)| *is_set) {
            return Err(wrong(format!(
                "[mail] {key} is set and smtp is not: name the mail server, as in smtps://user@mail.example.net"
            )));
        }
        return Ok(None);
    };
    let password = match (&mail.password, &mail.password_file) {
        (Some(_), Some(_)) => return Err(wrong("[mail] password and password_file are both set: leave one out".to_owned())),
        (Some(Hidden(text)), None) => Some(Secret::new(text.clone().into_bytes())),
        (None, Some(path)) => Some(file(path)?),
        (None, None) => None,
    };
    let server = Server::parse(smtp, password.as_ref()).map_err(|error: ServerError| wrong(format!("[mail] smtp: {error}")))?;
    let Some(from) = &mail.from else {
        return Err(wrong("[mail] smtp is set and from is not: say whom mails come from, as in poterne@example.net".to_owned()));
    };
    let from = from.parse().map_err(|error| wrong(format!("[mail] from: {error}")))?;
    Ok(Some((server, from)))
}

impl Config {
    /// What mail needs to know; none: no mail is sent. Reads the files that `[mail]` names.
    pub fn mail(&self) -> Result<Option<MailSettings>, ConfigError> {
        let read_password = |path: &Path| {
            let bytes = contents("password_file", path, PASSWORD_BYTES_MAX)?;
            // Editors end a file with a line break, which is no part of a password.
            let end = bytes.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
            Ok(Secret::new(bytes[..end].to_vec()))
        };
        let Some((server, from)) = read(&self.mail, read_password)? else { return Ok(None) };
        let authorities =
            self.mail.ca_file.as_deref().map(|path| contents("ca_file", path, AUTHORITIES_BYTES_MAX)).transpose()?;
        let node = self.node_names().first().map_or_else(|| "localhost".to_owned(), ToString::to_string);
        Ok(Some(MailSettings { server, from, authorities, node, languages: self.languages() }))
    }

    /// In which languages notices are written.
    pub fn languages(&self) -> Languages {
        match self.mail.language {
            MailLanguage::Both => Languages::Both,
            MailLanguage::En => Languages::English,
            MailLanguage::Fr => Languages::French,
        }
    }
}

fn contents(key: &'static str, path: &Path, bytes_max: u64) -> Result<Vec<u8>, ConfigError> {
    let wrong = |why: String| ConfigError::Inconsistent(format!("[mail] {key}: {} {why}", path.display()));
    let length = fs::metadata(path).map_err(|error| wrong(format!("cannot be read: {error}")))?.len();
    if length > bytes_max {
        return Err(wrong(format!("has {length} bytes: at most {bytes_max} are read")));
    }
    fs::read(path).map_err(|error| wrong(format!("cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use poterne_control_courier::mail::Security;

    use super::*;

    fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("poterne.toml");
        std::fs::write(&path, format!("version = 1\n{text}")).unwrap();
        Config::load(Some(&path), environment.iter().map(|(k, v)| (k.to_string(), v.to_string())), &[])
    }

    #[test]
    fn without_a_server_no_mail_is_sent() {
        assert!(load("", &[]).unwrap().mail().unwrap().is_none());
    }

    #[test]
    fn the_password_comes_from_the_url_a_file_or_the_environment() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        std::fs::write(&file, "in a file\r\n").unwrap();
        let mail = |smtp: &str, more: &str, environment: &[(&str, &str)]| {
            let text =
                format!("[node]\nname = \"node.example.net\"\n[mail]\nsmtp = \"{smtp}\"\nfrom = \"p@example.net\"\n{more}");
            let settings = load(&text, environment).unwrap().mail().unwrap().unwrap();
            let (user, password) = settings.server.credentials.unwrap();
            (settings.server.security, user, String::from_utf8(password.expose().to_vec()).unwrap())
        };
        let tls = |password: &str| (Security::Tls, "u".to_owned(), password.to_owned());
        assert_eq!(mail("smtps://u:in%20the%20url@mail.example.net", "", &[]), tls("in the url"));
        let from_file = format!("password_file = {:?}\n", file.display().to_string());
        assert_eq!(mail("smtps://u@mail.example.net", &from_file, &[]), tls("in a file"));
        assert_eq!(mail("smtps://u@mail.example.net", "", &[("POTERNE_MAIL_PASSWORD", "around")]), tls("around"));
    }

    #[test]
    fn what_does_not_fit_together_is_refused_and_no_password_is_shown() {
        let server = "smtp = \"smtps://u@mail.example.net\"\n";
        let from = "from = \"p@example.net\"\n";
        for (text, why) in [
            (from.to_owned(), "from is set and smtp is not"),
            (server.to_owned(), "from is not"),
            (format!("{server}{from}password = \"hush\"\npassword_file = \"/x\"\n"), "both set"),
            (format!("{server}from = \"nobody\"\n"), "\"nobody\" is no sender"),
            (format!("smtp = \"u:hush@mail.example.net\"\n{from}"), "[mail] smtp: "),
            (format!("smtp = \"smtps://u:hush@mail.example.net\"\npassword = \"hush\"\n{from}"), "two passwords"),
            (format!("{server}{from}language = \"de\"\n"), "`both`, `en`, `fr`"),
        ] {
            let error = load(&format!("[mail]\n{text}"), &[]).unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("hush"), "{text}: {error}");
        }
        let missing = load(&format!("[mail]\n{server}{from}password_file = \"/nowhere\"\n"), &[]).unwrap();
        assert!(missing.mail().unwrap_err().to_string().contains("/nowhere cannot be read"));
        assert!(!format!("{:?}", load(&format!("[mail]\n{server}{from}password = \"hush\"\n"), &[]).unwrap()).contains("hush"));
    }
}
