//! What goes wrong beneath a node, and what is left of it: the process killed, the disk full, the store held by another program, the
//! database gone. No acknowledged change is lost, visitors are served meanwhile, and nobody has to come and mend it.
//!
//! * [`again_and_again`]: `kill -9`; [`writers`]: clients that know what they were told.

mod killed;
pub mod writers;

pub use killed::again_and_again;
use serde_json::json;

use crate::{Agent, Api, Curl, Kind, Node, Raw, Setup, api::Told, eventually};

/// The agent of all of these tests.
pub const OURS: Kind = Kind { stock: false, protocol: "quic" };

/// What the service behind the tunnel says.
pub const SAID: &str = "still there";

/// A node of that setup with a service, an agent, and the API of its administrator.
pub struct Scene {
    /// The node; its zone `site.test` serves.
    pub node: Node,
    /// Its API.
    pub api: Api,
    /// The path of its zone.
    pub zone: String,
    /// Connected to it.
    pub agent: Agent,
    origin: Raw,
}

impl Scene {
    /// Puts it up.
    pub fn new(setup: Setup) -> Self {
        let origin = Raw::saying(SAID);
        let node = Node::serve_with(&origin.url(), setup);
        let agent = Agent::connect(&node, OURS);
        let api = Api::of(&node);
        let found = api.get("/zones?name=site.test").unwrap();
        let zone = format!("/zones/{}", found.result()[0]["id"].as_str().unwrap());
        Self { node, api, zone, agent, origin }
    }

    /// Asks for a record of that name: what was told.
    pub fn record(&self, name: &str) -> Told {
        let record = json!({ "type": "TXT", "name": name, "content": "x" });
        self.api.ask("POST", &format!("{}/dns_records", self.zone), &record).unwrap()
    }

    /// Whether there is one.
    pub fn has(&self, name: &str) -> bool {
        let told = self.api.get(&format!("{}/dns_records?name={name}.site.test", self.zone)).unwrap();
        !told.result().as_array().unwrap().is_empty()
    }

    /// A visitor is served.
    pub fn serves(&self) {
        let answer = self.node.get("/");
        assert_eq!(answer.text(), SAID, "{answer:?}");
    }

    /// The node takes changes again, and obeys them: all that was kept so far is in force.
    pub fn recovers(&self, name: &str) {
        eventually("a change is taken again", || self.record(name).status == 200);
        eventually("all that is kept is obeyed", || {
            let told = self.api.get(&format!("/accounts/{}/poterne/generation?wait=5", self.api.account)).unwrap();
            told.status == 200 && told.body["result"]["is_live"] == true
        });
        let hostname = format!("{name}-again.site.test");
        self.node.route(&hostname, &self.origin.url());
        let answer = Curl::http(&self.node, &hostname, "/").run();
        assert_eq!(answer.text(), SAID, "{answer:?}");
    }
}

/// Refused by the node itself, in words, and with a time to come back where that may help.
pub fn is_refused(told: &Told, status: u16, code: i64) {
    assert_eq!((told.status, told.codes()), (status, vec![code]), "{told:?}");
    assert!(told.body["errors"][0]["message"].as_str().is_some_and(|text| text.contains("nothing was changed")), "{told:?}");
    assert_eq!(told.field("retry-after").is_some(), status == 503, "{told:?}");
}
