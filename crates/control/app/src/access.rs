//! Who may do what. Every verb asks here first, and nowhere else is decided.

use crate::AppError;

/// Whoever calls a verb, as its door has made sure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// The node's operator: who can open `admin.sock` or the state directory.
    Operator,
    /// Anybody, through the public `POST /tunnel`.
    Anybody,
}

/// What a verb needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// See zones.
    ZoneRead,
    /// Add zones.
    ZoneEdit,
    /// Put a zone in force without a delegation: never a tenant's.
    ZoneActivate,
    /// See tunnels and their connectors.
    TunnelRead,
    /// Make, configure and delete tunnels.
    TunnelEdit,
    /// Read what lets an agent run a tunnel.
    TunnelToken,
    /// Make records.
    DnsEdit,
    /// Make a quick tunnel.
    QuickTunnelCreate,
}

impl Caller {
    /// Whether the permission is given.
    pub const fn may(self, permission: Permission) -> bool {
        match self {
            Self::Operator => true,
            Self::Anybody => matches!(permission, Permission::QuickTunnelCreate),
        }
    }

    pub(crate) fn needs(self, permission: Permission) -> Result<(), AppError> {
        if self.may(permission) { Ok(()) } else { Err(AppError::Forbidden { permission }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anybody_may_make_a_quick_tunnel_and_nothing_else() {
        use Permission::{DnsEdit, QuickTunnelCreate, TunnelEdit, TunnelRead, TunnelToken, ZoneActivate, ZoneEdit, ZoneRead};
        for permission in [ZoneRead, ZoneEdit, ZoneActivate, TunnelRead, TunnelEdit, TunnelToken, DnsEdit] {
            assert!(!Caller::Anybody.may(permission), "{permission:?}");
            assert!(Caller::Operator.may(permission), "{permission:?}");
        }
        assert!(Caller::Anybody.may(QuickTunnelCreate));
    }
}
