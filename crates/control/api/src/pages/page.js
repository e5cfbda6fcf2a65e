"use strict";
(() => {
  const element = (id) => document.getElementById(id);
  const words = document.body.dataset;
  const form = element("form");
  const password = element("password");
  // What lets in stands behind the #, and is sent to nobody but the API.
  const token = location.hash.slice(1);
  let needsPassword = true;

  const say = (text) => {
    element("said").textContent = text;
  };

  const refused = (status) => {
    if (status === 401) form.hidden = true;
    const known = { 400: words.refused, 401: words.over, 429: words.later, 503: words.later };
    say(known[status] || words.failed);
  };

  const ask = async (path, body) => {
    let answer;
    try {
      answer = await fetch(`/client/v4/poterne/${path}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ token, ...body }),
      });
    } catch {
      refused(0);
      return null;
    }
    if (answer.ok) return (await answer.json()).result;
    refused(answer.status);
    return null;
  };

  const begin = async () => {
    if (!token) return refused(401);
    if (words.page === "invitation") {
      const invited = await ask("invitation", {});
      if (!invited) return;
      element("account").textContent = invited.account;
      element("roles").textContent = invited.roles.join(", ");
      element("email").value = invited.email;
      needsPassword = invited.needs_password;
    }
    element("choice").hidden = !needsPassword;
    password.required = needsPassword;
    form.hidden = false;
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = element("go");
    button.disabled = true;
    say("");
    const path = words.page === "invitation" ? "invitation/acceptance" : "password_reset";
    const done = await ask(path, needsPassword ? { password: password.value } : {});
    button.disabled = false;
    if (done) {
      password.value = "";
      form.hidden = true;
      say(words.done);
    }
  });

  begin();
})();
