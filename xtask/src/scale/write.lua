-- Makes records, each with a name of its own; nine of ten lead to a tunnel, the others to an address.
-- WRK_TOKEN, WRK_PATH, WRK_TUNNEL and WRK_RUN (a word that no other run has) come from the environment.
local threads = 0
function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

local count = 0
local path, run = os.getenv("WRK_PATH"), os.getenv("WRK_RUN")
local target = os.getenv("WRK_TUNNEL") .. ".cfargotunnel.com"
wrk.method = "POST"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("WRK_TOKEN")
wrk.headers["Content-Type"] = "application/json"

function request()
  count = count + 1
  local name = "w" .. run .. "-" .. number .. "-" .. count
  local data
  if count % 10 == 0 then
    data = string.format('{"type":"A","name":"%s","content":"203.0.113.%d","ttl":1,"proxied":true}', name, count % 250 + 1)
  else
    data = string.format('{"type":"CNAME","name":"%s","content":"%s","ttl":1,"proxied":true}', name, target)
  end
  return wrk.format(nil, path, nil, data)
end

local refused = 0
function response(status, headers, body)
  if status ~= 200 then
    refused = refused + 1
    if refused < 3 then io.stderr:write("answered ", status, ": ", body, "\n") end
  end
end
