-- Asks for WRK_PATH again and again.
wrk.path = os.getenv("WRK_PATH")
wrk.headers["Authorization"] = "Bearer " .. os.getenv("WRK_TOKEN")

local refused = 0
function response(status, headers, body)
  if status ~= 200 then
    refused = refused + 1
    if refused < 3 then io.stderr:write("answered ", status, ": ", body, "\n") end
  end
end
