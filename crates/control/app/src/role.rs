//! Roles: what a member of an account may do in it, by name.

use poterne_model::permission::{Permission, Right, Subject};

/// A role.
#[derive(Debug, Clone, Copy)]
pub struct Role {
    /// Its id, 32 hexadecimal digits, the same everywhere.
    pub id: &'static str,
    /// Its name, unique.
    pub name: &'static str,
    /// What it is for.
    pub description: &'static str,
    gives: fn(Permission) -> bool,
}

/// The role of whoever owns an account.
pub const SUPER_ADMINISTRATOR: &str = "Super Administrator - All Privileges";

/// All of them. Ids are the first 16 bytes of the SHA-256 of the name.
pub const ROLES: [Role; 5] = [
    Role {
        id: "2b42225cd66c3af7f18b2a323e7a8ffb",
        name: SUPER_ADMINISTRATOR,
        description: "Can change everything in the account, and who belongs to it",
        gives: |_| true,
    },
    Role {
        id: "e7d3e769f3f593dadcb8634cc5b09fc9",
        name: "Administrator",
        description: "Can change everything in the account but who belongs to it",
        gives: |permission| {
            permission.right == Right::Read || !matches!(permission.subject, Subject::Members | Subject::Accounts)
        },
    },
    Role {
        id: "adfcd2360203ce29e8ab004e53d2c2eb",
        name: "Administrator Read Only",
        description: "Can see everything in the account",
        gives: |permission| permission.right == Right::Read,
    },
    Role {
        id: "020965a2f08f402892237071bfe446f6",
        name: "DNS",
        description: "Can change DNS records, and see zones",
        gives: |permission| {
            permission.subject == Subject::DnsRecords || permission.subject == Subject::Zones && permission.right == Right::Read
        },
    },
    Role {
        id: "2e65f2b5ee0288b537bc1e55c7779a24",
        name: "Tunnels",
        description: "Can change tunnels, private routes and the records that lead to them, and see zones",
        gives: |permission| {
            matches!(permission.subject, Subject::Tunnels | Subject::PrivateRoutes | Subject::DnsRecords)
                || permission.subject == Subject::Zones && permission.right == Right::Read
        },
    },
];

/// The role of that name or id.
pub fn find(text: &str) -> Option<&'static Role> {
    ROLES.iter().find(|role| role.id == text || role.name.eq_ignore_ascii_case(text))
}

/// Whether one of the roles of these names gives the permission. A name that this version does not know gives nothing.
pub(crate) fn gives(names: &[String], permission: Permission) -> bool {
    names.iter().filter_map(|name| find(name)).any(|role| (role.gives)(permission))
}

impl Role {
    /// Whether it gives the permission.
    pub fn gives(&self, permission: Permission) -> bool {
        (self.gives)(permission)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_written_down() {
        for role in ROLES {
            let digest = poterne_keys::sha256(role.name.as_bytes());
            let id: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(role.id, id, "{}", role.name);
            assert_eq!(find(role.id).map(|role| role.name), Some(role.name));
        }
    }

    #[test]
    fn roles_give_what_they_say() {
        let may = |role: &str, permission| gives(&[role.to_owned()], permission);
        assert!(may("administrator", Subject::DnsRecords.to_edit()) && !may("Administrator", Subject::Members.to_edit()));
        assert!(may("Administrator Read Only", Subject::Tunnels.to_read()));
        assert!(!may("Administrator Read Only", Subject::Tunnels.to_edit()));
        assert!(may("DNS", Subject::DnsRecords.to_edit()) && !may("DNS", Subject::Zones.to_edit()));
        assert!(!may("no such role", Subject::Zones.to_read()));
    }
}
