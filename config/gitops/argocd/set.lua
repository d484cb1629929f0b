-- EquivalenceSet: made by the operator below the Service. Whether its traffic does well is told by metrics and alerts.
local health = {status = "Progressing", message = "waiting for the operator"}
if obj.status == nil or obj.status.conditions == nil then
  return health
end
for _, condition in ipairs(obj.status.conditions) do
  if condition.type == "Ready" then
    health.message = condition.message
    if condition.status == "True" then
      health.status = "Healthy"
      health.message = "regime " .. (obj.status.regime or "Laminar")
    elseif condition.reason == "NoBackends" then
      -- Scaled to zero, or all pods down: the workload's own health says which.
      health.status = "Suspended"
    end
  end
end
return health
