# Tokens of the user and of the account, whose permission groups are found by name; who is told, and how.

data "cloudflare_api_token_permission_groups_list" "all" {
  max_items = 1000
}

locals {
  groups = { for group in data.cloudflare_api_token_permission_groups_list.all.result : group.name => group.id... }
}

resource "cloudflare_zone" "site" {
  account = { id = var.account }
  name    = "terraform.test"
}

resource "cloudflare_api_token" "dns" {
  name = var.later ? "dns, renamed" : "dns"
  policies = [{
    effect            = "allow"
    permission_groups = [{ id = local.groups["DNS Write"][0] }, { id = local.groups["Zone Read"][0] }]
    resources         = jsonencode({ "com.cloudflare.api.account.zone.${cloudflare_zone.site.id}" = "*" })
  }]
  condition  = { request_ip = { in = ["127.0.0.0/8"], not_in = ["127.0.0.9/32"] } }
  expires_on = "2099-01-01T00:00:00Z"
}

resource "cloudflare_account_token" "all" {
  account_id = var.account
  name       = "account"
  policies = [{
    effect            = "allow"
    permission_groups = [{ id = local.groups["Zone Read"][0] }]
    resources         = jsonencode({ "com.cloudflare.api.account.${var.account}" = { "com.cloudflare.api.account.zone.*" = "*" } })
  }]
}

resource "cloudflare_notification_policy_webhooks" "pager" {
  account_id = var.account
  name       = var.later ? "pager, renamed" : "pager"
  url        = "https://hooks.example.org/poterne"
  secret     = "a-secret-of-some-length"
}

resource "cloudflare_notification_policy" "tunnels" {
  account_id  = var.account
  name        = "tunnels"
  description = var.later ? "told at once" : "told"
  alert_type  = "tunnel_health_event"
  enabled     = true
  mechanisms = {
    webhooks = [{ id = cloudflare_notification_policy_webhooks.pager.id }]
  }
}

resource "cloudflare_notification_policy" "named" {
  account_id  = var.account
  name        = "named"
  description = var.later ? null : "of these alone"
  alert_type  = "tunnel_health_event"
  enabled     = true
  filters     = var.later ? null : { tunnel_name = ["home", "away"] }
  mechanisms = {
    webhooks = [{ id = cloudflare_notification_policy_webhooks.pager.id }]
  }
}

data "cloudflare_accounts" "all" {}

data "cloudflare_ip_ranges" "all" {}

output "accounts" {
  value = data.cloudflare_accounts.all.result[*].id
}

output "secret" {
  value     = cloudflare_api_token.dns.value
  sensitive = true
}
