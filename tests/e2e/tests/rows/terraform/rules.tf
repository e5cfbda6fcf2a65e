# Rulesets of a zone and of the account, lists of every kind that they name, and access rules.

resource "cloudflare_zone" "site" {
  account = { id = var.account }
  name    = "terraform.test"
}

locals {
  zone = cloudflare_zone.site.id
}

resource "cloudflare_list" "offices" {
  account_id  = var.account
  kind        = "ip"
  name        = "offices"
  description = var.later ? "where we work, still" : "where we work"
  items = [
    { ip = "192.0.2.0/24", comment = "one" },
    { ip = "2001:db8::/32" },
    { ip = var.later ? "198.51.100.7" : "198.51.100.6", comment = var.later ? null : "two" },
  ]
}

resource "cloudflare_list" "systems" {
  account_id = var.account
  kind       = "asn"
  name       = "systems"
  items      = [{ asn = 64496 }, { asn = 64497, comment = "the other" }]
}

resource "cloudflare_list" "hosts" {
  account_id  = var.account
  kind        = "hostname"
  name        = "hosts"
  description = var.later ? null : "hosts"
  items       = [{ hostname = { url_hostname = "host.example.org" } }]
}

resource "cloudflare_list" "moved" {
  account_id = var.account
  kind       = "redirect"
  name       = "moved"
}

resource "cloudflare_list_item" "moved" {
  account_id = var.account
  list_id    = cloudflare_list.moved.id
  comment    = "one by one"
  redirect = {
    source_url  = "terraform.test/old"
    target_url  = "https://terraform.test/new"
    status_code = 301
  }
}

resource "cloudflare_list" "single" {
  account_id = var.account
  kind       = "ip"
  name       = "single"
}

resource "cloudflare_list_item" "single" {
  account_id = var.account
  list_id    = cloudflare_list.single.id
  ip         = var.later ? "203.0.113.9" : "203.0.113.8"
}

resource "cloudflare_ruleset" "firewall" {
  zone_id     = local.zone
  name        = "firewall"
  description = "who may come in"
  kind        = "zone"
  phase       = "http_request_firewall_custom"
  rules = concat(
    [{
      ref         = "offices"
      description = "offices pass"
      expression  = format("ip.src in $%s", cloudflare_list.offices.name)
      action      = "skip"
      action_parameters = {
        ruleset = "current"
      }
      logging = { enabled = true }
    }],
    var.later ? [{ ref = "new", expression = "http.request.uri.path eq \"/new\"", action = "managed_challenge" }] : [],
    [{
      ref        = "admin"
      expression = "http.request.uri.path eq \"/admin\""
      action     = "block"
      enabled    = !var.later
    }],
  )
}

resource "cloudflare_ruleset" "limits" {
  zone_id = local.zone
  name    = "limits"
  kind    = "zone"
  phase   = "http_ratelimit"
  rules = [{
    ref        = "login"
    expression = "http.request.uri.path eq \"/login\""
    action     = "block"
    ratelimit = {
      characteristics     = ["cf.colo.id", "ip.src"]
      period              = 60
      requests_per_period = var.later ? 20 : 10
      mitigation_timeout  = 600
    }
  }]
}

resource "cloudflare_ruleset" "redirects" {
  zone_id = local.zone
  name    = "redirects"
  kind    = "zone"
  phase   = "http_request_dynamic_redirect"
  rules = [{
    ref        = "www"
    expression = "http.host eq \"www.terraform.test\""
    action     = "redirect"
    action_parameters = {
      from_value = {
        status_code           = 308
        preserve_query_string = true
        target_url            = { expression = "concat(\"https://terraform.test\", http.request.uri.path)" }
      }
    }
  }]
}

resource "cloudflare_ruleset" "headers" {
  zone_id = local.zone
  name    = "headers"
  kind    = "zone"
  phase   = "http_request_late_transform"
  rules = [{
    ref        = "headers"
    expression = "true"
    action     = "rewrite"
    action_parameters = {
      headers = {
        "x-set"     = { operation = "set", value = var.later ? "second" : "first" }
        "x-country" = { operation = "set", expression = "ip.geoip.country" }
        "x-gone"    = { operation = "remove" }
      }
    }
  }]
}

resource "cloudflare_ruleset" "cache" {
  zone_id = local.zone
  name    = "cache"
  kind    = "zone"
  phase   = "http_request_cache_settings"
  rules = [{
    ref        = "static"
    expression = "starts_with(http.request.uri.path, \"/static/\")"
    action     = "set_cache_settings"
    action_parameters = {
      cache       = true
      edge_ttl    = { mode = "override_origin", default = 3600 }
      browser_ttl = { mode = "respect_origin" }
    }
  }]
}

resource "cloudflare_ruleset" "origin" {
  zone_id = local.zone
  name    = "origin"
  kind    = "zone"
  phase   = "http_request_origin"
  rules = [{
    ref        = "port"
    expression = "http.host eq \"alt.terraform.test\""
    action     = "route"
    action_parameters = {
      host_header = "inner.terraform.test"
      origin      = { port = 8443 }
    }
  }]
}

resource "cloudflare_ruleset" "shared" {
  account_id = var.account
  name       = "shared"
  kind       = "custom"
  phase      = "http_request_firewall_custom"
  rules      = [{ ref = "shared", expression = "cf.zone.name eq \"terraform.test\"", action = "log" }]
}

resource "cloudflare_access_rule" "zone" {
  zone_id       = local.zone
  mode          = var.later ? "challenge" : "block"
  notes         = "noticed"
  configuration = { target = "ip", value = "198.51.100.4" }
}

resource "cloudflare_access_rule" "account" {
  account_id    = var.account
  mode          = "whitelist"
  configuration = { target = "ip_range", value = "192.0.2.0/24" }
}

output "offices" {
  value = cloudflare_list.offices.id
}
