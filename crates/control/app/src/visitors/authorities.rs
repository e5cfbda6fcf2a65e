//! Authorities that an account brings, to vouch for visitors of its zones (`mtls_certificates`, api-v4 §11). What one is never changes: who
//! wants another brings another, and names it at the hosts.

use poterne_acme::bundle::{BUNDLE_BYTES_MAX, Bundle};
use poterne_control_store::{MtlsCertificate, VisitorHost};
use poterne_keys::random_bytes;
use poterne_model::{AccountId, At, CertificateId, Schema, ShapeError, permission::Permission};
use serde_json::json;

use crate::{
    App, AppError, Caller,
    access::{Subject, Target},
    audit::Traced,
};

/// Most that an account has.
const CERTIFICATES_MAX: usize = 100;

/// Longest name, in characters.
const NAME_MAX: usize = 200;

/// What somebody brings.
#[derive(Debug)]
pub struct MtlsCertificateDraft {
    bundle: Bundle,
    name: String,
}

/// One, and the hosts that ask for what it vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MtlsCertificateUse {
    /// It.
    pub certificate: MtlsCertificate,
    /// The hosts, by zone.
    pub hosts: Vec<VisitorHost>,
}

impl MtlsCertificateDraft {
    /// Its form.
    pub fn schema() -> Schema {
        Schema::object([
            (
                "ca",
                Schema::boolean()
                    .required()
                    .about("true: authorities alone are taken, whose certificates visitors are vouched for by"),
            ),
            ("certificates", Schema::text(BUNDLE_BYTES_MAX).required().about("PEM, one to ten authorities")),
            ("name", Schema::text(NAME_MAX).about("what it is called")),
            ("private_key", Schema::text(BUNDLE_BYTES_MAX).about("not read, nor kept: nothing is signed with it here")),
        ])
        .named("MtlsCertificateDraft")
        .example(json!({ "ca": true, "certificates": include_str!("example.pem"), "name": "devices" }))
    }

    /// Reads one.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn read(body: &At<'_>) -> Result<Self, ShapeError> {
        body.object()?;
        let at_ca = body.required("ca")?;
        if !at_ca.boolean()? {
            return Err(at_ca.wrong("write true: authorities are taken here, no certificates of their own"));
        }
        let at = body.required("certificates")?;
        // Told without its content: people mistake one thing for another.
        let text = at.value.as_str().filter(|text| text.len() <= BUNDLE_BYTES_MAX);
        let long = || format!("{}: write a text of at most {BUNDLE_BYTES_MAX} characters, in PEM form", at.pointer());
        let text = text.ok_or_else(|| ShapeError::new(at.pointer(), long()))?;
        let bundle = Bundle::parse(text).map_err(|why| ShapeError::new(at.pointer(), format!("{}: {why}", at.pointer())))?;
        // Not even told what it is.
        let is_text = |key: &At<'_>| key.value.as_str().is_some_and(|text| text.len() <= BUNDLE_BYTES_MAX);
        if let Some(key) = body.member("private_key").filter(|key| !is_text(key)) {
            let why =
                format!("{} is no text of at most {BUNDLE_BYTES_MAX} characters: leave it out, it is not read", key.pointer());
            return Err(ShapeError::new(key.pointer(), why));
        }
        let name = body.member("name").map(|name| name.text(NAME_MAX)).transpose()?;
        Ok(Self { bundle, name: name.unwrap_or_default().to_owned() })
    }
}

impl App {
    /// Those of an account, the oldest first.
    pub async fn mtls_certificates(&self, caller: &Caller, account: AccountId) -> Result<Vec<MtlsCertificate>, AppError> {
        caller.needs(Subject::AccountCertificates.to_read(), Target::Account(account))?;
        Ok(self.0.store.read().await?.mtls_certificates(Some(account)).await?)
    }

    /// One of them, with the hosts that name it.
    pub async fn mtls_certificate(
        &self,
        caller: &Caller,
        account: AccountId,
        id: CertificateId,
    ) -> Result<MtlsCertificateUse, AppError> {
        self.mtls_certificate_used(caller, account, id, Subject::AccountCertificates.to_read()).await
    }

    async fn mtls_certificate_used(
        &self,
        caller: &Caller,
        account: AccountId,
        id: CertificateId,
        permission: Permission,
    ) -> Result<MtlsCertificateUse, AppError> {
        caller.needs(permission, Target::Account(account))?;
        let mut session = self.0.store.read().await?;
        let found = session.mtls_certificates(Some(account)).await?.into_iter().find(|one| one.id == id);
        let certificate = found.ok_or(AppError::NotFound("mTLS certificate"))?;
        Ok(MtlsCertificateUse { certificate, hosts: session.hosts_of_authority(id).await? })
    }

    /// Takes one in. Nobody is asked for anything by that.
    ///
    /// # Errors
    /// It is over, or there are too many.
    pub async fn mtls_certificate_add(
        &self,
        caller: &Caller,
        account: AccountId,
        draft: MtlsCertificateDraft,
    ) -> Result<MtlsCertificate, AppError> {
        caller.needs(Subject::AccountCertificates.to_edit(), Target::Account(account))?;
        let MtlsCertificateDraft { bundle, name } = draft;
        let invalid = |why: String| Err(AppError::Invalid { what: "certificates", why });
        if bundle.not_after <= self.now().div_euclid(1_000_000) {
            return invalid("the first has expired: bring one that is good".to_owned());
        }
        let mut session = self.0.store.write().await?;
        session.account(account).await?.ok_or(AppError::NotFound("account"))?;
        if session.mtls_certificates(Some(account)).await?.len() >= CERTIFICATES_MAX {
            return invalid(format!("this account has {CERTIFICATES_MAX}: delete some first"));
        }
        let certificate = MtlsCertificate {
            id: CertificateId::from_bytes(random_bytes()),
            account,
            name,
            certificates: bundle.pem,
            issuer: bundle.issuer,
            signature: bundle.signature,
            serial: bundle.serial,
            not_after: bundle.not_after.saturating_mul(1_000_000),
            created_at: self.now(),
        };
        session.insert_mtls_certificate(&certificate).await?;
        self.trace(&mut session, caller, traced("create", &certificate)).await?;
        session.commit().await?;
        Ok(certificate)
    }

    /// Forgets one that no host names.
    ///
    /// # Errors
    /// A host names it: which.
    pub async fn mtls_certificate_delete(
        &self,
        caller: &Caller,
        account: AccountId,
        id: CertificateId,
    ) -> Result<MtlsCertificate, AppError> {
        let used = self.mtls_certificate_used(caller, account, id, Subject::AccountCertificates.to_edit()).await?;
        let mut session = self.0.store.write().await?;
        if let Some(host) = session.hosts_of_authority(id).await?.first() {
            let why = format!("visitors of {} are asked for what it vouches for: take it from its hosts first", host.host);
            return Err(AppError::Invalid { what: "mTLS certificate", why });
        }
        if !session.delete_mtls_certificate(account, id).await? {
            return Err(AppError::NotFound("mTLS certificate"));
        }
        self.trace(&mut session, caller, traced("delete", &used.certificate)).await?;
        session.commit().await?;
        Ok(used.certificate)
    }
}

fn traced(action: &'static str, certificate: &MtlsCertificate) -> Traced {
    Traced {
        account: Some(certificate.account),
        action,
        kind: "mtls_certificate",
        id: certificate.id.to_string(),
        new: Some(json!({ "name": certificate.name, "issuer": certificate.issuer })),
        ..Traced::default()
    }
}
