-- ContinuityNode: healthy while its dataplane is attached, also with a feature off, which the message then names.
local health = {status = "Progressing", message = "waiting for the agent"}
if obj.status == nil or obj.status.conditions == nil then
  return health
end
for _, condition in ipairs(obj.status.conditions) do
  if condition.type == "Ready" then
    health.message = condition.message
    if condition.status == "True" then
      health.status = "Healthy"
    elseif condition.status == "False" then
      health.status = "Degraded"
    end
  end
end
return health
