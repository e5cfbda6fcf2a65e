# A zone, its settings, and records of every kind of value.

resource "cloudflare_zone" "site" {
  account = { id = var.account }
  name    = "terraform.test"
  paused  = var.later
}

locals {
  zone = cloudflare_zone.site.id
}

resource "cloudflare_dns_record" "apex" {
  zone_id = local.zone
  name    = "@"
  type    = "A"
  content = "192.0.2.1"
  ttl     = 1
  proxied = true
}

resource "cloudflare_dns_record" "relative" {
  zone_id = local.zone
  name    = "relative"
  type    = "A"
  content = var.later ? "192.0.2.22" : "192.0.2.2"
  ttl     = var.later ? 300 : 120
}

resource "cloudflare_dns_record" "six" {
  zone_id = local.zone
  name    = "six.terraform.test"
  type    = "AAAA"
  content = "2001:db8::6"
  ttl     = 1
  proxied = var.later
}

resource "cloudflare_dns_record" "www" {
  zone_id = local.zone
  name    = "www.terraform.test"
  type    = "CNAME"
  content = "terraform.test"
  ttl     = 1
  proxied = true
  comment = var.later ? null : "made by a program"
  tags    = var.later ? ["team:net", "owner:web"] : ["owner:web"]
}

resource "cloudflare_dns_record" "described" {
  zone_id  = local.zone
  name     = "described.terraform.test"
  type     = "CNAME"
  content  = "target.example.org"
  ttl      = 600
  comment  = var.later ? "the second comment" : "the first comment"
  settings = { flatten_cname = var.later }
}

resource "cloudflare_dns_record" "mail" {
  for_each = { "mx1.example.org" = 10, "mx2.example.org" = var.later ? 30 : 20 }
  zone_id  = local.zone
  name     = "terraform.test"
  type     = "MX"
  content  = each.key
  priority = each.value
  ttl      = 3600
}

resource "cloudflare_dns_record" "text" {
  for_each = toset(["v=spf1 -all", "\"quoted; text\""])
  zone_id  = local.zone
  name     = "terraform.test"
  type     = "TXT"
  content  = each.key
  ttl      = 1
}

resource "cloudflare_dns_record" "long" {
  zone_id = local.zone
  name    = "long._domainkey.terraform.test"
  type    = "TXT"
  content = "v=DKIM1; p=${join("", [for i in range(60) : format("%08d", i)])}"
  ttl     = 1
}

resource "cloudflare_dns_record" "delegated" {
  zone_id = local.zone
  name    = "delegated.terraform.test"
  type    = "NS"
  content = "ns1.example.org"
  ttl     = 86400
}

resource "cloudflare_dns_record" "service" {
  zone_id  = local.zone
  name     = "_sip._tcp.terraform.test"
  type     = "SRV"
  priority = 1
  ttl      = 600
  data = {
    priority = 1
    weight   = var.later ? 6 : 5
    port     = 5060
    target   = "sip.example.org"
  }
}

resource "cloudflare_dns_record" "authority" {
  zone_id = local.zone
  name    = "terraform.test"
  type    = "CAA"
  ttl     = 600
  data = {
    flags = 0
    tag   = "issue"
    value = var.later ? "other.example" : "ca.example"
  }
}

resource "cloudflare_dns_record" "pinned" {
  zone_id = local.zone
  name    = "_443._tcp.terraform.test"
  type    = "TLSA"
  ttl     = 600
  data = {
    usage         = 3
    selector      = 1
    matching_type = 1
    certificate   = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  }
}

resource "cloudflare_dns_record" "announced" {
  zone_id = local.zone
  name    = "announced.terraform.test"
  type    = "HTTPS"
  ttl     = 600
  data = {
    priority = 1
    target   = "."
    value    = "alpn=\"h3,h2\""
  }
}

resource "cloudflare_zone_setting" "word" {
  for_each   = { always_use_https = var.later ? "off" : "on", ssl = "strict", min_tls_version = "1.3", tls_1_3 = "zrt" }
  zone_id    = local.zone
  setting_id = each.key
  value      = each.value
}

resource "cloudflare_zone_setting" "number" {
  zone_id    = local.zone
  setting_id = "browser_cache_ttl"
  value      = var.later ? 7200 : 3600
}

resource "cloudflare_zone_setting" "list" {
  zone_id    = local.zone
  setting_id = "ciphers"
  value      = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"]
}

resource "cloudflare_zone_setting" "object" {
  zone_id    = local.zone
  setting_id = "security_header"
  value = {
    strict_transport_security = {
      enabled            = true
      include_subdomains = var.later
      max_age            = 86400
      nosniff            = true
      preload            = false
    }
  }
}

# All members: the provider takes one that is told and not written down for a change.
resource "cloudflare_zone_dns_settings" "site" {
  zone_id             = local.zone
  flatten_all_cnames  = var.later
  foundation_dns      = false
  internal_dns        = {}
  multi_provider      = false
  nameservers         = { type = "cloudflare.standard" }
  ns_ttl              = 86400
  secondary_overrides = false
  zone_mode           = "standard"
  soa = {
    expire  = 604800
    min_ttl = 1800
    mname   = null
    refresh = 10000
    retry   = var.later ? 3600 : 2400
    rname   = "hostmaster.terraform.test"
    ttl     = 3600
  }
}

resource "cloudflare_url_normalization_settings" "site" {
  zone_id = local.zone
  type    = "rfc3986"
  scope   = var.later ? "both" : "incoming"
}

resource "cloudflare_managed_transforms" "site" {
  zone_id                  = local.zone
  managed_request_headers  = [{ id = "add_visitor_location_headers", enabled = true }]
  managed_response_headers = [{ id = "add_security_headers", enabled = var.later }]
}

data "cloudflare_zone" "found" {
  filter     = { name = cloudflare_zone.site.name }
  depends_on = [cloudflare_dns_record.apex]
}

data "cloudflare_dns_records" "mail" {
  zone_id    = local.zone
  type       = "MX"
  depends_on = [cloudflare_dns_record.mail]
}

output "zone" {
  value = local.zone
}

output "found" {
  value = data.cloudflare_zone.found.zone_id
}

output "mail" {
  value = sort([for record in data.cloudflare_dns_records.mail.result : record.content])
}
