//! A zone's own values over the catalogue's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    SettingError,
    catalogue::{CATALOGUE, Setting, find},
};
use crate::{At, Timestamp};

/// How long development mode lasts, in seconds.
pub const DEVELOPMENT_SECS: i64 = 3 * 3600;

const DEVELOPMENT: &str = "development_mode";

/// What a zone changed, by setting; everything else is the catalogue's default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ZoneSettings {
    changed: BTreeMap<String, Changed>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Changed {
    value: Value,
    modified_on: Timestamp,
}

/// One setting of a zone as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct SettingView {
    /// Which.
    pub id: &'static str,
    /// What it says.
    pub value: Value,
    /// Whether the value is told under `enabled` instead of `value`.
    pub is_switch: bool,
    /// When it was last changed; none: never.
    pub modified_on: Option<Timestamp>,
    /// Seconds that development mode goes on; only for that setting.
    pub time_remaining: Option<i64>,
}

/// A value that was accepted, and what stood there before; for the audit log.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Which setting.
    pub id: &'static str,
    /// Before.
    pub old: Value,
    /// After.
    pub new: Value,
}

impl ZoneSettings {
    /// One setting. `now` decides whether development mode is over.
    pub fn get(&self, setting: &Setting, now: Timestamp) -> SettingView {
        let changed = self.changed.get(setting.id);
        let mut view = SettingView {
            id: setting.id,
            value: changed.map_or_else(|| setting.kind.default_value(), |changed| changed.value.clone()),
            is_switch: matches!(setting.kind, super::kind::Kind::Switch),
            modified_on: changed.map(|changed| changed.modified_on),
            time_remaining: None,
        };
        if setting.id == DEVELOPMENT {
            let left = self.development_mode(now).seconds_left();
            view.value = if left > 0 { "on" } else { "off" }.into();
            view.time_remaining = Some(left);
        }
        view
    }

    /// What was set under that name, of the catalogue or beside it; none: nothing ever was.
    pub fn value(&self, id: &str) -> Option<&Value> {
        self.changed.get(id).map(|changed| &changed.value)
    }

    /// Every setting, in the catalogue's order.
    pub fn all(&self, now: Timestamp) -> impl Iterator<Item = SettingView> + '_ {
        CATALOGUE.iter().map(move |setting| self.get(setting, now))
    }

    /// Sets one, given as the member of a body. None when it said so already; development mode begins anew.
    ///
    /// # Errors
    /// There is no such setting, or the value is none of it.
    pub fn set(&mut self, id: &str, given: &At<'_>, now: Timestamp) -> Result<Option<Change>, SettingError> {
        let setting = find(id)?;
        let old = self.get(setting, now).value;
        let new = setting.kind.normalise(given, &old).map_err(|error| SettingError::Value { id: setting.id, error })?;
        let renewed = setting.id == DEVELOPMENT && new == "on";
        if old == new && !renewed {
            return Ok(None);
        }
        self.changed.insert(setting.id.to_owned(), Changed { value: new.clone(), modified_on: now });
        Ok(Some(Change { id: setting.id, old, new }))
    }

    /// Several at once: all of them, or none.
    ///
    /// # Errors
    /// As [`Self::set`], for the first that is wrong.
    pub fn set_all<'a>(
        &mut self,
        items: impl IntoIterator<Item = (&'a str, At<'a>)>,
        now: Timestamp,
    ) -> Result<Vec<Change>, SettingError> {
        let mut after = self.clone();
        let mut changes = Vec::new();
        for (id, given) in items {
            changes.extend(after.set(id, &given, now)?);
        }
        *self = after;
        Ok(changes)
    }

    /// Whether development mode is on, over, or was never used.
    pub fn development_mode(&self, now: Timestamp) -> DevelopmentMode {
        let Some(changed) = self.changed.get(DEVELOPMENT) else { return DevelopmentMode::Never };
        // Turned off by hand, it ended then; turned on, it ends by itself.
        let end = if changed.value == "on" { changed.modified_on.plus_secs(DEVELOPMENT_SECS) } else { changed.modified_on };
        match end.secs_since(now) {
            // A clock set back must not make it longer than it ever was.
            left if left > 0 => DevelopmentMode::On { secs_left: left.min(DEVELOPMENT_SECS) },
            left => DevelopmentMode::Over { secs_since: -left },
        }
    }
}

/// Whether the cache is passed by for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DevelopmentMode {
    /// It was never on.
    Never,
    /// It is on.
    On {
        /// For so long still, from 1.
        secs_left: i64,
    },
    /// It ended.
    Over {
        /// So long ago, from 0.
        secs_since: i64,
    },
}

impl DevelopmentMode {
    /// Seconds it goes on; 0 when it is off.
    pub const fn seconds_left(self) -> i64 {
        if let Self::On { secs_left } = self { secs_left } else { 0 }
    }

    /// The number in the zone object: seconds left when positive, since its end when negative, 0 when it was never used
    /// (api-v4 §3).
    pub const fn of_zone(self) -> i64 {
        match self {
            Self::Never => 0,
            Self::On { secs_left } => secs_left,
            Self::Over { secs_since } => -secs_since,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn set(settings: &mut ZoneSettings, id: &str, value: Value, now: Timestamp) -> Result<Option<Change>, SettingError> {
        settings.set(id, &At::new(&value, "/value"), now)
    }

    #[test]
    fn a_change_is_dated_and_the_same_again_is_none() {
        let mut settings = ZoneSettings::default();
        assert_eq!(settings.get(find("ssl").unwrap(), NOW).modified_on, None);
        let change = set(&mut settings, "ssl", json!("strict"), NOW).unwrap().unwrap();
        assert_eq!((change.old, change.new), (json!("full"), json!("strict")));
        assert_eq!(set(&mut settings, "ssl", json!("strict"), NOW.plus_secs(9)).unwrap(), None);
        let view = settings.get(find("ssl").unwrap(), NOW);
        assert_eq!((view.value, view.modified_on), (json!("strict"), Some(NOW)));
        assert_eq!(settings.all(NOW).count(), CATALOGUE.len());
    }

    #[test]
    fn development_mode_ends_after_three_hours() {
        let mut settings = ZoneSettings::default();
        assert_eq!(settings.development_mode(NOW).of_zone(), 0);
        set(&mut settings, DEVELOPMENT, json!("on"), NOW).unwrap();
        let view = settings.get(find(DEVELOPMENT).unwrap(), NOW.plus_secs(60));
        assert_eq!((view.value, view.time_remaining), (json!("on"), Some(DEVELOPMENT_SECS - 60)));
        let later = NOW.plus_secs(DEVELOPMENT_SECS + 5);
        let view = settings.get(find(DEVELOPMENT).unwrap(), later);
        assert_eq!((view.value, view.time_remaining), (json!("off"), Some(0)));
        assert_eq!(settings.development_mode(later).of_zone(), -5);
        assert!(set(&mut settings, DEVELOPMENT, json!("on"), later).unwrap().is_some(), "it begins anew");
        assert_eq!(settings.development_mode(later).of_zone(), DEVELOPMENT_SECS);
    }

    #[test]
    fn one_wrong_item_changes_nothing() {
        let mut settings = ZoneSettings::default();
        let (good, off, bad) = (json!("on"), json!("off"), json!("maybe"));
        let items = [("brotli", At::new(&off, "/items/0/value")), ("http3", At::new(&bad, "/items/1/value"))];
        let error = settings.set_all(items, NOW).unwrap_err();
        assert!(matches!(error, SettingError::Value { id: "http3", .. }));
        assert_eq!(settings, ZoneSettings::default());
        let same = settings.set_all([("http3", At::new(&good, "/items/0/value"))], NOW).unwrap();
        assert!(same.is_empty(), "on is the default");
    }

    proptest! {
        #[test]
        fn what_was_accepted_is_accepted_again_unchanged(index in 0..CATALOGUE.len(), text in "[a-z_0-9]{0,8}", number: i64) {
            for value in [json!(text), json!(number), json!(true), json!([text]), json!({"enabled": true}), Value::Null] {
                let kind = CATALOGUE[index].kind;
                let default = kind.default_value();
                if let Ok(normal) = kind.normalise(&At::body(&value), &default) {
                    prop_assert_eq!(kind.normalise(&At::body(&normal), &default), Ok(normal.clone()));
                }
            }
        }

        #[test]
        fn development_mode_never_lasts_longer_than_three_hours(on_at in 0..2_000_000_000_i64, now in 0..2_000_000_000_i64) {
            let mut settings = ZoneSettings::default();
            set(&mut settings, DEVELOPMENT, json!("on"), Timestamp::from_secs(on_at)).unwrap();
            let mode = settings.development_mode(Timestamp::from_secs(now));
            prop_assert!(mode.seconds_left() <= DEVELOPMENT_SECS);
            prop_assert_eq!(mode.seconds_left() > 0, now < on_at + DEVELOPMENT_SECS);
        }
    }
}
