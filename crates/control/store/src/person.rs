//! People, and the accounts they are members of.

use poterne_model::{AccountId, MembershipId, UserId};

use crate::{
    Micros, Session, StoreError,
    database::{Row, query},
    rows::{cell, changed, inserted, parsed},
};

/// A person who may sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Their id.
    pub id: UserId,
    /// Their address, in lower case.
    pub email: String,
    /// As they write it.
    pub first_name: Option<String>,
    /// As they write it.
    pub last_name: Option<String>,
    /// argon2id, in its own text form; none until one was chosen.
    pub password: Option<String>,
    /// May do nothing.
    pub suspended: bool,
    /// Has a second factor: an authenticator application that has shown a code, or a passkey. Told by the store, not written.
    pub second_factor: bool,
    /// When they came.
    pub created_at: Micros,
    /// When they were last changed.
    pub modified_at: Micros,
}

/// Where a membership stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MembershipStatus {
    /// In force.
    Accepted,
    /// Invited.
    Pending,
    /// Declined.
    Rejected,
}

/// A person in an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Its id.
    pub id: MembershipId,
    /// The account.
    pub account: AccountId,
    /// The person.
    pub person: UserId,
    /// Where it stands.
    pub status: MembershipStatus,
    /// Names of roles.
    pub roles: Vec<String>,
    /// When it was made.
    pub created_at: Micros,
    /// When it was last changed.
    pub modified_at: Micros,
}

impl MembershipStatus {
    /// The API's word, also the one kept.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Pending => "pending",
            Self::Rejected => "rejected",
        }
    }
}

/// Members with the person that each is; which, is the end of the statement.
macro_rules! members {
    ($which:literal) => {
        concat!(
            "SELECT membership.*, person.email, person.first_name, person.last_name, person.password, person.suspended,
            (EXISTS (SELECT 1 FROM totp WHERE totp.person = person.id AND confirmed_at IS NOT NULL)
            OR EXISTS (SELECT 1 FROM passkey WHERE passkey.person = person.id)) AS second_factor,
            person.created_at AS came_at, person.modified_at AS changed_at
            FROM membership JOIN person ON person.id = membership.person ",
            $which
        )
    };
}

/// A person, with what [`Person::second_factor`] is told from.
macro_rules! person_where {
    ($condition:literal) => {
        concat!(
            "SELECT person.*, (EXISTS (SELECT 1 FROM totp WHERE totp.person = person.id AND confirmed_at IS NOT NULL)
            OR EXISTS (SELECT 1 FROM passkey WHERE passkey.person = person.id)) AS second_factor FROM person WHERE ",
            $condition
        )
    };
}

impl Session {
    /// A new person. Conflict when the address is taken.
    pub async fn insert_person(&mut self, person: &Person) -> Result<(), StoreError> {
        let statement = "INSERT INTO person (id, email, first_name, last_name, password, suspended, created_at, modified_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";
        let done = query(statement)
            .bind(person.id.to_string())
            .bind(&person.email)
            .bind(&person.first_name)
            .bind(&person.last_name)
            .bind(&person.password)
            .bind(person.suspended)
            .bind(person.created_at)
            .bind(person.modified_at)
            .execute(self.connection())
            .await?;
        inserted(done, "person")
    }

    /// Changes all of a person but their id, key and when they came.
    pub async fn update_person(&mut self, person: &Person) -> Result<(), StoreError> {
        let statement = "UPDATE person SET email = $2, first_name = $3, last_name = $4, password = $5, suspended = $6,
            modified_at = $7 WHERE id = $1";
        let done = query(statement)
            .bind(person.id.to_string())
            .bind(&person.email)
            .bind(&person.first_name)
            .bind(&person.last_name)
            .bind(&person.password)
            .bind(person.suspended)
            .bind(person.modified_at)
            .execute(self.connection())
            .await?;
        changed(done, "person")
    }

    /// Takes a person away who belongs nowhere and has nothing to show: neither password, key, passkey nor token.
    pub async fn delete_person_unless_used(&mut self, id: UserId) -> Result<(), StoreError> {
        let statement = "DELETE FROM person WHERE id = $1 AND password IS NULL AND key_digest IS NULL
            AND NOT EXISTS (SELECT 1 FROM membership WHERE membership.person = $1)
            AND NOT EXISTS (SELECT 1 FROM passkey WHERE passkey.person = $1)
            AND NOT EXISTS (SELECT 1 FROM api_token WHERE api_token.person = $1)";
        query(statement).bind(id.to_string()).execute(self.connection()).await?;
        Ok(())
    }

    /// Sets the digest of a person's global key, or takes it away.
    pub async fn set_person_key(&mut self, id: UserId, digest: Option<&[u8; 32]>) -> Result<(), StoreError> {
        let statement = match digest {
            Some(digest) => query("UPDATE person SET key_digest = $2 WHERE id = $1").bind(id.to_string()).bind(digest.as_slice()),
            None => query("UPDATE person SET key_digest = NULL WHERE id = $1").bind(id.to_string()),
        };
        changed(statement.execute(self.connection()).await?, "person")
    }

    /// Whether a person has a global key.
    pub async fn has_person_key(&mut self, id: UserId) -> Result<bool, StoreError> {
        let statement = query("SELECT 1 FROM person WHERE id = $1 AND key_digest IS NOT NULL").bind(id.to_string());
        Ok(statement.fetch_optional(self.connection()).await?.is_some())
    }

    /// Everybody, by address.
    pub async fn people(&mut self) -> Result<Vec<Person>, StoreError> {
        query(person_where!("TRUE ORDER BY email")).fetch_all(self.connection()).await?.iter().map(person).collect()
    }

    /// A person by id.
    pub async fn person(&mut self, id: UserId) -> Result<Option<Person>, StoreError> {
        let row = query(person_where!("id = $1")).bind(id.to_string()).fetch_optional(self.connection()).await?;
        row.as_ref().map(person).transpose()
    }

    /// A person by address, which is in lower case.
    pub async fn person_of_email(&mut self, email: &str) -> Result<Option<Person>, StoreError> {
        let row = query(person_where!("email = $1")).bind(email).fetch_optional(self.connection()).await?;
        row.as_ref().map(person).transpose()
    }

    /// The person of that address and key.
    pub async fn person_of_key(&mut self, email: &str, digest: &[u8; 32]) -> Result<Option<Person>, StoreError> {
        let statement = query(person_where!("key_digest = $1 AND email = $2")).bind(digest.as_slice()).bind(email);
        statement.fetch_optional(self.connection()).await?.as_ref().map(person).transpose()
    }

    /// A new membership. Conflict when the person is in that account already.
    pub async fn insert_membership(&mut self, membership: &Membership) -> Result<(), StoreError> {
        let statement = "INSERT INTO membership (id, account, person, status, roles, created_at, modified_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
        let done = query(statement)
            .bind(membership.id.to_string())
            .bind(membership.account.to_string())
            .bind(membership.person.to_string())
            .bind(membership.status.as_str())
            .bind(roles(&membership.roles))
            .bind(membership.created_at)
            .bind(membership.modified_at)
            .execute(self.connection())
            .await?;
        inserted(done, "membership")
    }

    /// Changes a membership's status and roles.
    pub async fn update_membership(&mut self, membership: &Membership) -> Result<(), StoreError> {
        let done = query("UPDATE membership SET status = $2, roles = $3, modified_at = $4 WHERE id = $1")
            .bind(membership.id.to_string())
            .bind(membership.status.as_str())
            .bind(roles(&membership.roles))
            .bind(membership.modified_at)
            .execute(self.connection())
            .await?;
        changed(done, "membership")
    }

    /// Ends a membership.
    pub async fn delete_membership(&mut self, id: MembershipId) -> Result<(), StoreError> {
        let done = query("DELETE FROM membership WHERE id = $1").bind(id.to_string()).execute(self.connection()).await?;
        changed(done, "membership")
    }

    /// An account's members, oldest first.
    pub async fn members(&mut self, account: AccountId) -> Result<Vec<(Membership, Person)>, StoreError> {
        let statement = members!("WHERE membership.account = $1 ORDER BY membership.created_at, membership.id");
        let rows = query(statement).bind(account.to_string()).fetch_all(self.connection()).await?;
        rows.iter().map(member).collect()
    }

    /// One of them.
    pub async fn member(&mut self, account: AccountId, id: MembershipId) -> Result<Option<(Membership, Person)>, StoreError> {
        let statement = query(members!("WHERE membership.account = $1 AND membership.id = $2")).bind(account.to_string());
        statement.bind(id.to_string()).fetch_optional(self.connection()).await?.as_ref().map(member).transpose()
    }

    /// A person's memberships, oldest first.
    pub async fn memberships(&mut self, person: UserId) -> Result<Vec<Membership>, StoreError> {
        let statement = query("SELECT * FROM membership WHERE person = $1 ORDER BY created_at, id").bind(person.to_string());
        statement.fetch_all(self.connection()).await?.iter().map(membership).collect()
    }
}

fn roles(names: &[String]) -> String {
    serde_json::to_string(names).expect("a list of texts is always JSON")
}

fn person(row: &Row) -> Result<Person, StoreError> {
    person_of(row, parsed(row, "id")?, ["created_at", "modified_at"])
}

/// The person of a row in which their id, and the columns of when they came and were last changed, have names of their own.
fn person_of(row: &Row, id: UserId, [came_at, changed_at]: [&'static str; 2]) -> Result<Person, StoreError> {
    Ok(Person {
        id,
        email: cell(row, "email")?,
        first_name: cell(row, "first_name")?,
        last_name: cell(row, "last_name")?,
        password: cell(row, "password")?,
        suspended: cell(row, "suspended")?,
        second_factor: cell(row, "second_factor")?,
        created_at: cell(row, came_at)?,
        modified_at: cell(row, changed_at)?,
    })
}

/// A row of [`members`].
fn member(row: &Row) -> Result<(Membership, Person), StoreError> {
    let membership = membership(row)?;
    let person = person_of(row, membership.person, ["came_at", "changed_at"])?;
    Ok((membership, person))
}

fn membership(row: &Row) -> Result<Membership, StoreError> {
    let damaged = |why| StoreError::Damaged { what: "membership", why };
    let status = match cell(row, "status")? {
        "accepted" => MembershipStatus::Accepted,
        "pending" => MembershipStatus::Pending,
        "rejected" => MembershipStatus::Rejected,
        other => return Err(damaged(format!("its status is {other:?}"))),
    };
    let roles = serde_json::from_str(cell(row, "roles")?);
    Ok(Membership {
        id: parsed(row, "id")?,
        account: parsed(row, "account")?,
        person: parsed(row, "person")?,
        status,
        roles: roles.map_err(|error| damaged(error.to_string()))?,
        created_at: cell(row, "created_at")?,
        modified_at: cell(row, "modified_at")?,
    })
}
