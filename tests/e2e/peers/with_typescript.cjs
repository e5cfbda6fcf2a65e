// The official TypeScript SDK, npm's `cloudflare`: zones, records and tunnels, each list as the SDK walks through its pages.

const assert = require('node:assert/strict');
const readline = require('node:readline');

const Cloudflare = require('cloudflare');

async function all(pages) {
  const items = [];
  for await (const item of pages) items.push(item);
  return items;
}

async function refused(call, kind, code) {
  await assert.rejects(call, (error) => {
    assert.ok(error instanceof kind, `${error}`);
    assert.equal(error.errors[0].code, code);
    return true;
  });
}

const rows = {
  async zones(sdk, node) {
    const create = (name) => sdk.zones.create({ account: { id: node.account_id }, name, type: 'full' });
    const made = await create('example.com');
    assert.deepEqual([made.name, made.status, made.account.id], ['example.com', 'pending', node.account_id]);
    await refused(create('example.com'), Cloudflare.BadRequestError, 1061);
    for (let n = 0; n < 4; n++) await create(`more-${n}.example.org`);
    assert.equal((await all(sdk.zones.list({ per_page: 2 }))).length, 6);
    assert.deepEqual((await all(sdk.zones.list({ name: 'EXAMPLE.com' }))).map((zone) => zone.id), [made.id]);
    assert.equal((await sdk.zones.edit({ zone_id: made.id, paused: true })).paused, true);
    assert.equal((await sdk.zones.delete({ zone_id: made.id })).id, made.id);
    await refused(sdk.zones.get({ zone_id: made.id }), Cloudflare.NotFoundError, 7003);
  },

  async records(sdk, node) {
    const zone_id = node.zone_id;
    const create = (record) => sdk.dns.records.create({ zone_id, ttl: 300, ...record });
    for (let n = 0; n < 7; n++) await create({ type: 'A', name: `host-${n}`, content: '192.0.2.1' });
    const made = await create({ type: 'CAA', name: 'issue', data: { flags: 0, tag: 'issue', value: 'ca.example' } });
    assert.deepEqual([made.name, made.content], ['issue.poterne.localhost', '0 issue "ca.example"']);
    const hosts = await all(sdk.dns.records.list({ zone_id, type: 'A', name: { startswith: 'host-' }, per_page: 2 }));
    assert.deepEqual(hosts.map((record) => record.name).sort(), [...Array(7).keys()].map((n) => `host-${n}.poterne.localhost`));
    await refused(create({ type: 'A', name: 'host-1', content: '192.0.2.1' }), Cloudflare.BadRequestError, 81058);
    const [first] = hosts;
    const edited = await sdk.dns.records.edit(first.id, { zone_id, type: 'A', name: first.name, ttl: 60, content: '192.0.2.2' });
    assert.deepEqual([edited.content, edited.ttl], ['192.0.2.2', 60]);
    const done = await sdk.dns.records.batch({
      zone_id,
      deletes: [{ id: made.id }],
      posts: [{ type: 'TXT', name: 'text', content: 'told', ttl: 60 }],
    });
    assert.deepEqual([done.deletes[0].id, done.posts[0].name], [made.id, 'text.poterne.localhost']);
    assert.match(await sdk.dns.records.export({ zone_id }), /^text\.poterne\.localhost\.\s+60\s+IN\s+TXT\s+"told"/m);
    assert.equal((await sdk.dns.records.delete(first.id, { zone_id })).id, first.id);
    await refused(sdk.dns.records.get(first.id, { zone_id }), Cloudflare.NotFoundError, 81044);
  },

  async tunnels(sdk, node) {
    const of = sdk.zeroTrust.tunnels.cloudflared;
    const account_id = node.account_id;
    const made = await of.create({ account_id, name: 'web', config_src: 'cloudflare' });
    assert.deepEqual([made.name, made.status], ['web', 'inactive']);
    await refused(of.create({ account_id, name: 'web' }), Cloudflare.ConflictError, 1013);
    const token = JSON.parse(Buffer.from(await of.token.get(made.id, { account_id }), 'base64'));
    assert.deepEqual([token.a, token.t], [account_id, made.id]);
    const ingress = [
      { hostname: 'app.poterne.localhost', service: 'https://localhost:8443', originRequest: { noTLSVerify: true } },
      { hostname: '', service: 'http_status:404' },
    ];
    assert.equal((await of.configurations.update(made.id, { account_id, config: { ingress } })).version, 1);
    const { config } = await of.configurations.get(made.id, { account_id });
    assert.deepEqual([config.ingress[0].service, config.ingress[0].originRequest.noTLSVerify], ['https://localhost:8443', true]);
    assert.deepEqual(await all(of.connections.get(made.id, { account_id })), []);
    assert.deepEqual((await all(of.list({ account_id, per_page: 1 }))).map((tunnel) => tunnel.name).sort(), ['demo', 'web']);
    assert.ok((await of.delete(made.id, { account_id })).deleted_at);
    const left = await all(of.list({ account_id, is_deleted: false }));
    assert.deepEqual(left.map((tunnel) => tunnel.name), ['demo']);
  },
};

readline.createInterface({ input: process.stdin }).once('line', async (line) => {
  const node = JSON.parse(line);
  const sdk = new Cloudflare({ baseURL: node.api, apiToken: node.api_token, maxRetries: 0 });
  for (const name of process.argv.slice(2)) await rows[name](sdk, node);
  process.exit(0);
});
