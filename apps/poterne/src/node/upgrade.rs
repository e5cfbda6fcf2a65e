//! `poterne upgrade`: another program takes this one's place, and no request fails (docs/decisions/0026-upgrade.md).
//!
//! What the successor has at once: the sockets, and the lock of the state. What comes step by step: control, when ours has stopped; agents,
//! half of whose connections leave us first; visitors, when the agents are there. What stays with us until it has ended: visitors' and
//! agents' connections as they are, those by QUIC too, whose packets the successor hands back.

use std::{
    ffi::OsString,
    net::SocketAddr,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixDatagram,
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use poterne_control_store::Tables;
use poterne_model::TunnelId;
use poterne_tunnel_gateway::Gateway;
use poterne_tunnel_transport::handover::Shared;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    control::{Control, Parts, RunningControl, admin_socket},
    edge::Edge,
    quic::TUNNEL,
    reload::Reloader,
    running::Running,
};
use crate::{
    admin::protocol::Upgraded,
    bind,
    handover::{HandoverError, Heir},
    inherited::Named,
    notify,
};

/// Why this program goes on. Culprit: whoever asked, or the new program.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// One at a time.
    #[error("an upgrade is under way already")]
    UnderWay,
    /// The one before this one has not ended.
    #[error("the program before this one still ends its connections: try again once it has ended")]
    PredecessorThere,
    /// A demo has nothing that another could be started with.
    #[error("this node cannot be replaced: it is a demo, or its successor serves already")]
    NotThisOne,
    /// systemd would end both.
    #[error(
        "systemd would stop the new program with this one: the unit must say Type=notify (`poterne init --systemd` writes such a \
         unit). Set it, run `systemctl daemon-reload` and restart the service this once"
    )]
    DeafSupervisor,
    /// It came to nothing.
    #[error("{0}; the former program serves on")]
    Handover(#[from] HandoverError),
}

/// A UDP socket of QUIC, and what it is kept by.
pub(super) struct Quic {
    pub setting: &'static str,
    pub address: SocketAddr,
    pub shared: Arc<Shared>,
}

/// What of a running node another program can take over.
pub(super) struct Upgrader {
    pub parts: Parts,
    pub control: tokio::sync::Mutex<Option<RunningControl>>,
    pub reloader: Arc<Reloader>,
    pub gateway: Gateway,
    pub edge: Arc<Edge>,
    /// Every socket, once more.
    pub sockets: Mutex<Vec<Named>>,
    pub quic: Vec<Quic>,
    pub generation: u8,
    /// What a successor is started with; none: nothing.
    pub arguments: Option<Vec<OsString>>,
    pub drain: Arc<ArcSwap<Duration>>,
    /// Health and metrics are a successor's to tell.
    pub health: CancellationToken,
    /// The one before this one has ended.
    pub alone: CancellationToken,
    /// A successor serves.
    pub replaced: CancellationToken,
    pub busy: tokio::sync::Mutex<()>,
    /// The successor, once there is one.
    pub heir: Mutex<Option<Heir>>,
}

impl Upgrader {
    /// Has control run that was opened. `admin`: from a state directory that nobody else serves.
    pub(super) async fn run_control(self: &Arc<Self>, control: Control, listener: TcpListener) -> anyhow::Result<()> {
        let admin = admin_socket(&self.parts.state)?;
        let administration = Arc::clone(&control.administration);
        let running = Running {
            administration,
            reloader: Arc::clone(&self.reloader),
            upgrader: Arc::downgrade(self),
            edge: Arc::clone(&self.edge),
        };
        let running = control.run(&self.parts, Arc::new(running), admin, listener);
        *self.control.lock().await = Some(running);
        Ok(())
    }

    /// Orders certificates from now on.
    pub(super) async fn order(&self) {
        if let Some(control) = &mut *self.control.lock().await {
            control.order();
        }
    }

    /// Ends control.
    pub(super) async fn stop_control(&self) {
        if let Some(control) = self.control.lock().await.take() {
            control.stop(&self.parts).await;
        }
    }

    /// No port listens any more but for those who listen.
    pub(super) fn drop_sockets(&self) {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Has `program` take this one's place.
    ///
    /// # Errors
    /// It did not, and this one serves on.
    pub(super) async fn upgrade(self: &Arc<Self>, program: PathBuf) -> Result<Upgraded, UpgradeError> {
        let _one = self.busy.try_lock().map_err(|_| UpgradeError::UnderWay)?;
        let arguments = self.arguments.clone().filter(|_| !self.replaced.is_cancelled()).ok_or(UpgradeError::NotThisOne)?;
        if !self.alone.is_cancelled() {
            return Err(UpgradeError::PredecessorThere);
        }
        if notify::is_deaf_supervisor() {
            return Err(UpgradeError::DeafSupervisor);
        }
        tracing::info!(program = %program.display(), "an upgrade begins");
        let (heir, ways) = self.prepare(&program, arguments).await.inspect_err(|error| tracing::error!(%error, "no upgrade"))?;
        self.stop_control().await;
        let missing = match self.give(&heir, &ways).await {
            Ok(missing) => missing,
            Err(error) => {
                tracing::error!(%error, "no upgrade: this program goes on");
                heir.kill().await;
                self.resume().await;
                return Err(error.into());
            }
        };
        self.leave(&missing);
        let id = heir.id();
        notify::main_process(id);
        tracing::info!(successor = id, "visitors and agents are received by the new program; this one ends what it has begun");
        // It sees by the channel's end when this program has ended.
        *self.heir.lock().unwrap_or_else(PoisonError::into_inner) = Some(heir);
        self.replaced.cancel();
        Ok(Upgraded { process: id, program, agents_missing: missing.len() })
    }

    /// Gives it the state, the agents and the visitors; both accept visitors until it says that it serves. Gives the tunnels whose agents
    /// must follow at once.
    async fn give(&self, heir: &Heir, ways: &[(usize, UnixDatagram)]) -> Result<Vec<TunnelId>, HandoverError> {
        heir.yours().await?;
        self.hand_over(ways, true);
        self.gateway.accept(false);
        let leaving = self.gateway.send_half_away(**self.drain.load());
        let missing = heir.agents(&leaving.halves).await?;
        if !missing.is_empty() {
            tracing::warn!(
                tunnels = missing.len(),
                "agents of some tunnels have not come to the new program yet: they follow the visitors"
            );
        }
        let late: Vec<_> = missing.into_iter().chain(leaving.single).collect();
        self.hand_over(ways, false);
        heir.visitors(&late).await?;
        Ok(late)
    }

    /// Receives nobody any more; what is there ends.
    fn leave(&self, late: &[TunnelId]) {
        self.edge.drain.cancel();
        self.health.cancel();
        self.drop_sockets();
        self.gateway.send_all_away(late, **self.drain.load());
        // What nodes tell of connections that end here nobody keeps: to its successor they have ended.
        self.parts.told.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Starts it with the sockets, up to where control is in its way; also the ways by which it will hand back what is ours.
    async fn prepare(
        &self,
        program: &Path,
        arguments: Vec<OsString>,
    ) -> Result<(Heir, Vec<(usize, UnixDatagram)>), HandoverError> {
        let heir = Heir::start(program, arguments)?;
        let given = self.give_sockets(&heir);
        let prepared = match given {
            Ok(ways) => {
                heir.begin(self.parts.state.path(), self.parts.state.lock(), self.generation.wrapping_add(1)).await.map(|()| ways)
            }
            Err(error) => Err(error),
        };
        match prepared {
            Ok(ways) => Ok((heir, ways)),
            Err(error) => {
                heir.kill().await;
                Err(error)
            }
        }
    }

    fn give_sockets(&self, heir: &Heir) -> Result<Vec<(usize, UnixDatagram)>, HandoverError> {
        let mut ways = Vec::new();
        let sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        for socket in &*sockets {
            // Several may be at one address as set: in their order.
            let is_it = |(at, quic): &(usize, &Quic)| {
                let is_free = ways.iter().all(|(taken, _): &(usize, UnixDatagram)| taken != at);
                socket.udp && quic.setting == socket.setting && quic.address == socket.address && is_free
            };
            let quic = self.quic.iter().enumerate().find(is_it).map(|(at, _)| at);
            match quic {
                Some(at) => {
                    let (ours, theirs) = UnixDatagram::pair()?;
                    heir.give(socket, Some(theirs.as_fd()))?;
                    ways.push((at, ours));
                }
                None => heir.give(socket, None)?,
            }
        }
        Ok(ways)
    }

    /// The successor reads these sockets from now on.
    fn hand_over(&self, ways: &[(usize, UnixDatagram)], agents: bool) {
        for (at, way) in ways {
            let Some(quic) = self.quic.get(*at).filter(|quic| (quic.setting == TUNNEL) == agents) else { continue };
            if let Err(error) = way.try_clone().and_then(|way| quic.shared.hand_over(way)) {
                tracing::error!(setting = quic.setting, %error, "a UDP socket could not be handed over; its connections here end");
            }
        }
    }

    /// Everything once more, as it was.
    async fn resume(self: &Arc<Self>) {
        self.quic.iter().for_each(|quic| quic.shared.take_back());
        self.gateway.accept(true);
        self.parts.state.sign();
        let again = async {
            // The one that failed may have brought the tables up to date before.
            let control = Control::open(&self.parts, Tables::PerhapsNewer).await?;
            let listener = self.api_listener().context("the API's socket is gone")?;
            self.run_control(control, listener).await?;
            self.order().await;
            anyhow::Ok(())
        };
        if let Err(error) = again.await {
            tracing::error!(
                error = format!("{error:#}"),
                "control could not be started again: visitors and agents are served, and nothing can be changed until the node is restarted"
            );
        }
    }

    fn api_listener(&self) -> Option<TcpListener> {
        let sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        let named = sockets.iter().find(|named| named.setting == bind::API)?;
        let descriptor: OwnedFd = named.descriptor.try_clone().ok()?;
        let listener = std::net::TcpListener::from(descriptor);
        listener.set_nonblocking(true).ok()?;
        TcpListener::from_std(listener).ok()
    }
}
