# A tunnel with its configuration, a private network behind it, and the record that leads to it.

resource "cloudflare_zone" "site" {
  account = { id = var.account }
  name    = "terraform.test"
}

resource "cloudflare_zero_trust_tunnel_cloudflared" "home" {
  account_id    = var.account
  name          = var.later ? "home, renamed" : "home"
  config_src    = "cloudflare"
  tunnel_secret = "AQIDBAUGBwgBAgMEBQYHCAECAwQFBgcIAQIDBAUGBwg="
}

resource "cloudflare_zero_trust_tunnel_cloudflared_config" "home" {
  account_id = var.account
  tunnel_id  = cloudflare_zero_trust_tunnel_cloudflared.home.id
  config = {
    ingress = concat(
      [{
        hostname = "app.terraform.test"
        service  = var.later ? "http://127.0.0.1:8081" : "http://127.0.0.1:8080"
        origin_request = {
          connect_timeout = 10
          no_tls_verify   = true
        }
      }],
      var.later ? [{ hostname = "other.terraform.test", path = "^/api", service = "http_status:204" }] : [],
      [{ service = "http_status:404" }],
    )
    origin_request = {
      keep_alive_connections = 50
      http_host_header       = "app.internal"
    }
  }
}

resource "cloudflare_dns_record" "app" {
  zone_id = cloudflare_zone.site.id
  name    = "app.terraform.test"
  type    = "CNAME"
  content = "${cloudflare_zero_trust_tunnel_cloudflared.home.id}.cfargotunnel.com"
  ttl     = 1
  proxied = true
}

resource "cloudflare_zero_trust_tunnel_cloudflared_virtual_network" "lab" {
  account_id = var.account
  name       = "lab"
  comment    = var.later ? "the second lab" : "a lab"
}

resource "cloudflare_zero_trust_tunnel_cloudflared_route" "lab" {
  account_id         = var.account
  network            = "10.44.0.0/16"
  tunnel_id          = cloudflare_zero_trust_tunnel_cloudflared.home.id
  virtual_network_id = cloudflare_zero_trust_tunnel_cloudflared_virtual_network.lab.id
  comment            = var.later ? "behind home, still" : "behind home"
}

data "cloudflare_zero_trust_tunnel_cloudflared_token" "home" {
  account_id = var.account
  tunnel_id  = cloudflare_zero_trust_tunnel_cloudflared.home.id
}

output "tunnel" {
  value = cloudflare_zero_trust_tunnel_cloudflared.home.id
}

output "token" {
  value     = data.cloudflare_zero_trust_tunnel_cloudflared_token.home.token
  sensitive = true
}
