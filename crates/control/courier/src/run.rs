//! The tasks that empty the outbox, and the one that looks at tunnels.

use std::{sync::Arc, time::Duration};

use poterne_control_app::{
    App,
    outbox::{Attempt, Channel, Dispatch, Fate, Recipient},
};
use poterne_telemetry::{
    Metrics,
    metrics::{Counter, Gauge},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    mail::Mailer,
    text::Languages,
    webhook::{self, Caller, call::Call},
};

/// Attempts at once, of mails and of calls each.
const ATTEMPTS_MAX: usize = 16;

/// How long attempts may go on once the node is told to stop.
const STOPPED: Duration = Duration::from_secs(3);

/// How long the outbox is left alone when the store fails.
const STORE_FAILED: Duration = Duration::from_secs(5);

/// Takes notices where they go.
pub struct Courier {
    app: App,
    mailer: Option<Mailer>,
    caller: Caller,
    node: String,
    languages: Languages,
    counts: Counts,
}

/// What is counted.
struct Counts {
    waiting: Gauge,
    /// Mails, then calls: taken, not taken, given up.
    outcomes: [[Counter; 3]; 2],
}

impl Counts {
    fn new(metrics: &Metrics) -> Self {
        let of = |name, help| metrics.counters(name, help, "outcome", ["taken", "not_taken", "given_up"]);
        Self {
            waiting: metrics.gauge("notices_waiting", "Notices that wait to be sent"),
            outcomes: [
                of("notice_mails", "Mails of notices, by what became of the attempt"),
                of("notice_webhooks", "Calls of webhooks, by what became of the attempt"),
            ],
        }
    }

    fn count(&self, channel: Channel, fate: Fate) {
        let [taken, not_taken, given_up] = &self.outcomes[usize::from(channel == Channel::Webhook)];
        match fate {
            Fate::Delivered => taken.inc(),
            Fate::Again(_) => not_taken.inc(),
            Fate::GivenUp => given_up.inc(),
        };
    }
}

impl Courier {
    /// Over an application. Without a mailer mails stay where they are, which is in nobody's way: none is put there.
    pub fn new(
        app: App,
        mailer: Option<Mailer>,
        caller: Caller,
        node: String,
        languages: Languages,
        metrics: &Metrics,
    ) -> Arc<Self> {
        Arc::new(Self { app, mailer, caller, node, languages, counts: Counts::new(metrics) })
    }

    /// Works until told to stop. What is on its way then comes again when its lease is over.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mails = async {
            if self.mailer.is_some() {
                self.empty(Channel::Mail, &stop).await;
            }
        };
        tokio::join!(mails, self.empty(Channel::Webhook, &stop), self.look_at_tunnels(&stop));
    }

    async fn empty(self: &Arc<Self>, channel: Channel, stop: &CancellationToken) {
        let mut attempts = JoinSet::new();
        loop {
            let free = ATTEMPTS_MAX - attempts.len();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = attempts.join_next(), if !attempts.is_empty() => {
                    self.note_waiting().await;
                    continue;
                }
                () = self.app.outbox_woken(channel), if free > 0 => {}
            }
            match self.app.outbox_take(channel, u32::try_from(free).unwrap_or(1)).await {
                // Of those that are taken up, the ends are noted.
                Ok(dispatches) if dispatches.is_empty() => self.note_waiting().await,
                Ok(dispatches) => {
                    for dispatch in dispatches {
                        let this = Arc::clone(self);
                        attempts.spawn(async move { this.attempt(channel, dispatch).await });
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "the outbox cannot be read; trying on");
                    let _ = stop.run_until_cancelled(tokio::time::sleep(STORE_FAILED)).await;
                }
            }
        }
        // What is on its way may end; the rest comes again when its lease is over.
        let ended = async { while attempts.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(STOPPED, ended).await;
    }

    async fn attempt(&self, channel: Channel, dispatch: Dispatch) {
        let outcome = self.send(&dispatch).await;
        let fate = match self.app.outbox_settle(&dispatch, &outcome).await {
            Ok(fate) => fate,
            Err(error) => {
                let id = dispatch.id;
                tracing::error!(notice = %id, %error, "what became of a notice cannot be kept: it is sent again");
                return;
            }
        };
        self.counts.count(channel, fate);
        let (id, kind, attempt) = (dispatch.id, dispatch.notice.kind(), dispatch.attempt);
        let to = match &dispatch.to {
            Recipient::Mail(address) => address.clone(),
            Recipient::Webhook { id, .. } => format!("webhook {id}"),
        };
        let why = match &outcome {
            Attempt::Taken => "",
            Attempt::Failed(why) | Attempt::Refused(why) => why.as_str(),
        };
        match fate {
            Fate::Delivered => tracing::info!(notice = %id, kind, to, attempt, "notice sent"),
            Fate::Again(secs) => {
                tracing::warn!(notice = %id, kind, to, attempt, why, again_secs = secs, "a notice was not taken; it is tried again");
            }
            Fate::GivenUp => tracing::error!(notice = %id, kind, to, attempt, why, "a notice was not taken, and is given up"),
        }
    }

    async fn send(&self, dispatch: &Dispatch) -> Attempt {
        let (now, node) = (self.app.instant(), self.node.as_str());
        match &dispatch.to {
            Recipient::Mail(address) => {
                let Some(mailer) = &self.mailer else { return Attempt::Failed("this node sends no mail".to_owned()) };
                let policy = dispatch.policy.as_ref().map(|policy| policy.name.as_str());
                match mailer.send(dispatch.id, address, &dispatch.notice, policy, now).await {
                    Ok(()) => Attempt::Taken,
                    Err(failure) if failure.is_final() => Attempt::Refused(failure.to_string()),
                    Err(failure) => Attempt::Failed(failure.to_string()),
                }
            }
            Recipient::Webhook { account, url, secret, .. } => {
                let call = Call {
                    account: *account,
                    url,
                    secret: secret.as_ref(),
                    id: dispatch.id.to_string(),
                    at_secs: now.as_secs(),
                    body: webhook::body::body(dispatch, self.languages, node),
                };
                match self.caller.call(&self.app.guard(), call).await {
                    Ok(()) => Attempt::Taken,
                    Err(error) if error.is_final() => Attempt::Refused(error.to_string()),
                    Err(error) => Attempt::Failed(error.to_string()),
                }
            }
        }
    }

    async fn note_waiting(&self) {
        if let Ok(length) = self.app.outbox_length().await {
            self.counts.waiting.set(i64::try_from(length).unwrap_or(i64::MAX));
        }
    }

    async fn look_at_tunnels(&self, stop: &CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(poterne_control_app::TUNNELS_LOOKED_AT_EVERY)).await.is_some() {
            if let Err(error) = self.app.tunnels_look().await {
                tracing::error!(%error, "how tunnels are could not be told");
            }
        }
    }
}
