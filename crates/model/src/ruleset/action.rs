//! What a rule does (edge-behaviour §4.7).

use super::Phase;
use crate::word::words;

words! {
    /// What a rule does with a request that meets its expression.
    pub enum Action {
        /// Ends it, with an answer of the rule's own if it has one.
        Block = "block",
        /// Asks for a proof, interactively.
        Challenge = "challenge",
        /// Asks for a proof, without hands.
        JsChallenge = "js_challenge",
        /// Asks for whichever proof suits.
        ManagedChallenge = "managed_challenge",
        /// Says so in the log.
        Log = "log",
        /// Passes over rules, rulesets, phases or products.
        Skip = "skip",
        /// Runs another ruleset.
        Execute = "execute",
        /// Changes path, query or fields.
        Rewrite = "rewrite",
        /// Answers with another address.
        Redirect = "redirect",
        /// Chooses how the origin is reached.
        Route = "route",
        /// Decides how it is cached.
        SetCacheSettings = "set_cache_settings",
        /// Changes the tags a response is stored under.
        SetCacheTags = "set_cache_tags",
        /// Changes a response's Cache-Control.
        SetCacheControl = "set_cache_control",
        /// Sets zone settings for it alone.
        SetConfig = "set_config",
        /// Chooses its compression.
        CompressResponse = "compress_response",
        /// Answers with an error page.
        ServeError = "serve_error",
        /// Adds to its score.
        Score = "score",
        /// Logs fields besides.
        LogCustomField = "log_custom_field",
        /// Ends it and its connection.
        ForceConnectionClose = "force_connection_close",
        /// Whatever the defence against floods thinks right.
        DdosDynamic = "ddos_dynamic",
    }
}

impl Action {
    /// Whether it asks the visitor for a proof.
    pub const fn is_challenge(self) -> bool {
        matches!(self, Self::Challenge | Self::JsChallenge | Self::ManagedChallenge)
    }

    /// Where it may stand; empty where the phases that know it have no rules here.
    pub fn phases(self) -> impl Iterator<Item = Phase> {
        Phase::ALL.iter().copied().filter(move |phase| phase.actions().contains(&self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_stands_somewhere_but_the_two_of_the_flood_defence() {
        let homeless: Vec<_> = Action::ALL.iter().filter(|action| action.phases().next().is_none()).collect();
        assert_eq!(homeless, [&Action::ForceConnectionClose, &Action::DdosDynamic]);
        assert_eq!(Action::of_word("js_challenge"), Some(Action::JsChallenge));
        assert!(Action::JsChallenge.is_challenge() && !Action::Block.is_challenge());
    }
}
