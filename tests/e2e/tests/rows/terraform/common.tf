# What every configuration begins with. The node and the token come by CLOUDFLARE_BASE_URL and CLOUDFLARE_API_TOKEN.

terraform {
  required_providers {
    cloudflare = { source = "cloudflare/cloudflare" }
  }
}

variable "account" {
  type = string
}

# Each configuration is applied twice: what depends on this is changed by the second time.
variable "later" {
  type    = bool
  default = false
}
