//! What the demo says, in English and in French.

use std::{fmt::Write as _, net::SocketAddr, path::Path};

use crate::{language::Language, ports::Choice};

/// What there is to say where everything is.
#[derive(Debug)]
pub struct Facts<'a> {
    /// As the program was called, so that a line can be pasted.
    pub program: &'a str,
    /// The published hostname.
    pub hostname: &'a str,
    /// Visitors in clear.
    pub http: SocketAddr,
    /// Visitors over TLS.
    pub https: SocketAddr,
    /// Agents.
    pub tunnel: SocketAddr,
    /// The API.
    pub api: SocketAddr,
    /// Both authorities, for curl and agents.
    pub ca_file: &'a Path,
    /// The visitors' authority alone, for a browser.
    pub visitors_ca_file: &'a Path,
    /// The state directory.
    pub state_dir: &'a Path,
    /// Whether there was a state before.
    pub state_found: bool,
    /// What is published, if the demo runs the agent.
    pub published: Option<Published<'a>>,
    /// The token another agent would use.
    pub token: &'a str,
    /// `user@host` of this machine.
    pub login: &'a str,
}

/// What the demo's agent publishes.
#[derive(Debug, Clone, Copy)]
pub enum Published<'a> {
    /// The sample site, listening there.
    Sample(SocketAddr),
    /// A service of the user's own.
    Own(&'a str),
    /// What the user routed the hostname to during an earlier run.
    Kept(&'a str),
}

/// Everything, once all is there.
pub fn ready(language: Language, facts: &Facts<'_>) -> String {
    let say = |english, french| language.say(english, french);
    let Facts { program, hostname, http, https, tunnel, api, login, .. } = facts;
    let (ca, visitors_ca, state) = (quoted(facts.ca_file), quoted(facts.visitors_ca_file), quoted(facts.state_dir));
    let mut text = String::new();
    let mut line = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    line("");
    match facts.published {
        Some(Published::Sample(site)) => line(&match language {
            Language::English => {
                format!("A site that listens on {site} alone is now reached through Poterne's edge, over a tunnel:")
            }
            Language::French => {
                format!("Un site qui n'écoute que sur {site} est maintenant joint par le bord de Poterne, à travers un tunnel :")
            }
        }),
        Some(Published::Own(url)) => line(&match language {
            Language::English => format!("{url} is now reached through Poterne's edge, over a tunnel:"),
            Language::French => format!("{url} est maintenant joint par le bord de Poterne, à travers un tunnel :"),
        }),
        Some(Published::Kept(service)) => line(&match language {
            Language::English => format!("{hostname} leads where you routed it in an earlier run, to {service}:"),
            Language::French => format!("{hostname} mène là où vous l'avez dirigé lors d'un passage précédent, à {service} :"),
        }),
        None => line(say(
            "The node is there, and waits for an agent; until one comes, these answer with error 1033:",
            "Le nœud est là et attend un agent ; d'ici là, ces adresses répondent par l'erreur 1033 :",
        )),
    }
    line("");
    line(&format!("    http://{hostname}:{}/", http.port()));
    line(&format!(
        "    https://{hostname}:{}/    {}",
        https.port(),
        say("(once its authority is trusted, below)", "(une fois son autorité reconnue, ci-dessous)")
    ));
    let mut part = |title: &str, lines: &[String]| {
        let _ = write!(text, "\n{title}\n");
        for line in lines {
            let _ = writeln!(text, "    {line}");
        }
    };
    part(
        say("From this terminal:", "Depuis ce terminal :"),
        &[format!("curl --resolve {hostname}:{port}:127.0.0.1 --cacert {ca} https://{hostname}:{port}/", port = https.port())],
    );
    part(
        say(
            "To trust the authority (it can vouch for names below .localhost only), import this file into the browser:",
            "Pour reconnaître l'autorité (elle ne peut répondre que de noms sous .localhost), importez ce fichier dans le navigateur :",
        ),
        &[
            visitors_ca.clone(),
            say(
                "Firefox: Settings > Privacy & Security > View Certificates > Authorities > Import",
                "Firefox : Paramètres > Vie privée et sécurité > Afficher les certificats > Autorités > Importer",
            )
            .into(),
            say(
                "Chrome:  Settings > Privacy and security > Security > Manage certificates > Trusted certificates",
                "Chrome :  Paramètres > Confidentialité et sécurité > Sécurité > Gérer les certificats > Certificats de confiance",
            )
            .into(),
        ],
    );
    part(
        say(
            "No screen on this machine? From the one with the browser, then open the same URLs there:",
            "Pas d'écran sur cette machine ? Depuis celle du navigateur, où s'ouvrent ensuite les mêmes adresses :",
        ),
        &[format!("ssh -N -L {h}:127.0.0.1:{h} -L {s}:127.0.0.1:{s} {login}", h = http.port(), s = https.port())],
    );
    if facts.published.is_some() {
        part(
            say("To publish a service of your own:", "Pour publier votre propre service :"),
            &[format!("{program} demo --url http://localhost:3000")],
        );
    }
    part(
        say("Another service beside it, under a random name:", "Un autre service à côté, sous un nom tiré au hasard :"),
        &[format!("poterne-agent tunnel --url http://localhost:3000 --quick-service http://{api} --cacert {ca}")],
    );
    if facts.published.is_none() {
        let edge = vec![format!("--edge {tunnel}"); 4].join(" ");
        part(
            say("The agent, ours or a stock one:", "L'agent, le nôtre ou celui d'origine :"),
            &[
                format!("poterne-agent tunnel run --token {}", facts.token),
                format!("cloudflared tunnel --no-autoupdate {edge} --cacert {ca} run --token {}", facts.token),
            ],
        );
    }
    part(
        match (facts.state_found, language) {
            (false, Language::English) => "State, new (delete the directory to begin anew):",
            (false, Language::French) => "L'état, neuf (effacez le répertoire pour repartir de rien) :",
            (true, Language::English) => "State, found from an earlier run (delete the directory to begin anew):",
            (true, Language::French) => "L'état, retrouvé d'un passage précédent (effacez le répertoire pour repartir de rien) :",
        },
        &[state.clone(), format!("{program} tunnel list --state-dir {state}")],
    );
    text.push_str(say("\nCtrl-C stops everything.\n\n", "\nCtrl-C arrête tout.\n\n"));
    text
}

/// That the ports are others than asked for; nothing when they are not.
pub fn moved(language: Language, ports: &Choice) -> Option<String> {
    let taken = *ports.passed.first()?;
    let (base, count) = (ports.base, ports.passed.len());
    Some(match language {
        Language::English => {
            format!("Port {taken} is taken: all ports moved up by {}, to base {base}.", count * usize::from(crate::ports::STEP))
        }
        Language::French => {
            format!(
                "Le port {taken} est pris : tous les ports sont décalés de {}, à partir de {base}.",
                count * usize::from(crate::ports::STEP)
            )
        }
    })
}

/// That another demo holds the state, and this one has its own.
pub fn beside(language: Language, state_dir: &Path) -> String {
    let state = state_dir.display();
    match language {
        Language::English => format!("Another demo is running on this machine: this one keeps its own state, in {state}."),
        Language::French => format!("Une autre démo tourne sur cette machine : celle-ci garde son propre état, dans {state}."),
    }
}

/// That it is stopping.
pub fn draining(language: Language) -> &'static str {
    language.say(
        "Stopping: requests in flight may end; Ctrl-C again stops at once.",
        "Arrêt : les requêtes en cours peuvent finir ; Ctrl-C de nouveau arrête tout de suite.",
    )
}

/// That it has stopped.
pub fn stopped(language: Language, state_dir: &Path) -> String {
    let state = state_dir.display();
    match language {
        Language::English => format!("Stopped. The state stays in {state} for the next run."),
        Language::French => format!("Arrêté. L'état reste dans {state} pour la prochaine fois."),
    }
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c));
    if plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Ports;

    fn text(language: Language, published: Option<Published<'_>>, found: bool) -> String {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        ready(
            language,
            &Facts {
                program: "target/release/poterne",
                hostname: "demo.poterne.localhost",
                http: at(10_088),
                https: at(10_443),
                tunnel: at(7844),
                api: at(8600),
                ca_file: Path::new("/s t/ca.pem"),
                visitors_ca_file: Path::new("/s t/visitors-ca.pem"),
                state_dir: Path::new("/s t"),
                state_found: found,
                published,
                token: "TOKEN",
                login: "me@host",
            },
        )
    }

    #[test]
    fn both_urls_are_there_the_clear_one_first() {
        for language in [Language::English, Language::French] {
            let text = text(language, Some(Published::Sample("127.0.0.1:4".parse().unwrap())), false);
            let http = text.find("http://demo.poterne.localhost:10088/").unwrap();
            let https = text.find("https://demo.poterne.localhost:10443/").unwrap();
            assert!(http < https);
            for part in [
                "curl --resolve demo.poterne.localhost:10443:127.0.0.1 --cacert '/s t/ca.pem' https://demo.poterne.localhost:10443/\n",
                "ssh -N -L 10088:127.0.0.1:10088 -L 10443:127.0.0.1:10443 me@host\n",
                "target/release/poterne demo --url http://localhost:3000\n",
                "'/s t/visitors-ca.pem'",
                "--quick-service http://127.0.0.1:8600",
                "    '/s t'\n",
                "Ctrl-C",
            ] {
                assert!(text.contains(part), "{part} is missing in:\n{text}");
            }
        }
    }

    #[test]
    fn both_languages_say_as_much() {
        let english = text(Language::English, None, true);
        let french = text(Language::French, None, true);
        assert_eq!(english.lines().count(), french.lines().count());
        assert!(english.contains("found from an earlier run") && french.contains("retrouvé d'un passage précédent"));
        assert_eq!(english.matches("--edge 127.0.0.1:7844").count(), 4);
        assert_eq!(french.matches("--token TOKEN").count(), 2);
        let kept = |language| text(language, Some(Published::Kept("http://nas:5000")), true);
        for (language, word) in [(Language::English, "you routed it"), (Language::French, "vous l'avez dirigé")] {
            assert!(kept(language).lines().any(|line| line.contains(word) && line.contains("http://nas:5000")));
        }
    }

    #[test]
    fn moved_ports_are_told_and_unmoved_ones_are_not() {
        let mut choice = Choice { ports: Ports::at(12_000), base: 12_000, passed: vec![10_443, 8844] };
        assert_eq!(moved(Language::English, &choice).unwrap(), "Port 10443 is taken: all ports moved up by 2000, to base 12000.");
        choice.passed.clear();
        assert_eq!(moved(Language::English, &choice), None);
    }
}
