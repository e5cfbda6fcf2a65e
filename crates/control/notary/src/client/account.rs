//! Our account with an authority: made once, kept sealed, made again where the authority knows it no more.

use instant_acme::{Account, AccountCredentials, ExternalAccountKey, NewAccount};
use poterne_acme::{Culprit, Trouble};
use poterne_control_app::{AcmeCredentials, App};
use poterne_keys::Secret;

use super::{Client, Directory, Stay, Transport, trouble};

impl Client {
    /// Begins a stay, with the account that there is, or with a new one.
    pub(crate) async fn enter(&self, app: &App) -> Result<Stay, Trouble> {
        let transport = self.transport();
        let of_store = |error: poterne_control_app::AppError| Trouble::new(Culprit::Internal, error.to_string());
        let directory = Directory::fetch(&transport, self.url()).await;
        let directory = directory.map_err(|error| error.trouble().after(transport.retry_after_secs()))?;
        let _alone = self.registering.lock().await;
        let told = directory.issuers();
        let issuers = if told.is_empty() { self.settings.issuers.clone() } else { told };
        if let Some(kept) = app.acme_account(self.url()).await.map_err(of_store)? {
            let credentials: AccountCredentials = serde_json::from_slice(kept.secret.expose()).map_err(|error| {
                Trouble::new(Culprit::Internal, format!("the account that was kept is not understood: {error}"))
            })?;
            let builder = Account::builder_with_http(Box::new(transport.clone()));
            let account = builder.from_credentials(credentials).await.map_err(|error| trouble(error, &transport))?;
            if kept.issuers != issuers {
                let kept = AcmeCredentials { issuers: issuers.clone(), ..kept };
                app.acme_account_keep(self.url(), &kept).await.map_err(of_store)?;
            }
            let uri = account.id().to_owned();
            return Ok(Stay { transport, directory, account, uri, issuers });
        }
        let (account, credentials) = self.register(&transport, &directory).await?;
        let uri = account.id().to_owned();
        let secret = serde_json::to_vec(&credentials).map_err(|error| Trouble::new(Culprit::Internal, error.to_string()))?;
        let kept = AcmeCredentials { uri: uri.clone(), issuers: issuers.clone(), secret: Secret::new(secret) };
        app.acme_account_keep(self.url(), &kept).await.map_err(of_store)?;
        Ok(Stay { transport, directory, account, uri, issuers })
    }

    async fn register(&self, transport: &Transport, directory: &Directory) -> Result<(Account, AccountCredentials), Trouble> {
        let binding = self.settings.binding.as_ref();
        if directory.meta.external_account_required && binding.is_none() {
            let why =
                "the authority gives accounts to its customers alone: set eab_kid and eab_hmac_key under [acme], as it gave them";
            return Err(Trouble::new(Culprit::Refused, why));
        }
        let bound = binding.map(|binding| ExternalAccountKey::new(binding.key_id.clone(), binding.key.expose()));
        let contact = self.settings.contact.as_ref().map(|address| format!("mailto:{address}"));
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let wanted = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let builder = Account::builder_with_http(Box::new(transport.clone()));
        let made = builder.create(&wanted, self.url().to_owned(), bound.as_ref()).await;
        made.map_err(|error| trouble(error, transport))
    }
}
