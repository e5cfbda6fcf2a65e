//! Why somebody was not signed in, or must show who they are once more.

/// Why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// No such person, no password, or not this one: told in one way.
    #[error("the e-mail address or the password is wrong")]
    Wrong,
    /// Not the second factor.
    #[error("this code is not valid now: wait for the next one, or use a recovery code that was not used yet")]
    WrongCode,
    /// A passkey that was not taken; the log has the reason.
    #[error("this passkey was not accepted here: try again, or sign in otherwise")]
    Passkey,
    /// Tried too often.
    #[error("too many attempts: try again in {retry_secs} seconds")]
    Throttled {
        /// When.
        retry_secs: u64,
    },
    /// The first half of a step is not known.
    #[error("this step has expired, or was done already: begin again")]
    Unfinished,
    /// A session that is over, or never was.
    #[error("you are not signed in any more: sign in again")]
    SessionOver,
    /// A token or key where a person must be there.
    #[error("only somebody who is signed in can do this, not a token or key: sign in first")]
    SessionNeeded,
    /// Signed in too long ago for this.
    #[error(
        "this needs you to show once more who you are: POST /user/poterne/confirmation with your password, a code or a passkey"
    )]
    ConfirmationNeeded,
    /// The account wants more of its members.
    #[error(
        "this account asks its members for a second factor: set one up first, with /user/poterne/totp or /user/poterne/passkeys"
    )]
    SecondFactorNeeded,
    /// A link that is worth nothing.
    #[error("this link has expired, was used, or was replaced by a later one: ask for another")]
    LinkOver,
    /// No name that passkeys can be made for.
    #[error("passkeys work at this node's own names over https, or at http://localhost: {0} is neither")]
    Site(String),
}
