-- ContinuityPolicy: healthy once every node runs this generation. Traffic has no say in it.
local health = {status = "Progressing", message = "waiting for the operator"}
if obj.metadata.deletionTimestamp ~= nil then
  health.message = "being deleted"
  return health
end
if obj.status == nil or obj.status.conditions == nil then
  return health
end
if obj.status.observedGeneration ~= obj.metadata.generation then
  health.message = "waiting for the operator to look at the present generation"
  return health
end
local found = {}
for _, condition in ipairs(obj.status.conditions) do
  found[condition.type] = condition
end
local accepted, ready = found["Accepted"], found["Ready"]
if accepted ~= nil and accepted.status == "False" then
  health.message = accepted.message
  -- A Service that comes later in the same sync, or gets its port then, heals these two by itself.
  if accepted.reason ~= "TargetNotFound" and accepted.reason ~= "PortNotFound" then
    health.status = "Degraded"
  end
  return health
end
if ready ~= nil then
  health.message = ready.message
  if ready.status == "True" then
    health.status = "Healthy"
  elseif ready.reason == "Refused" or ready.reason == "Overridden" or ready.reason == "RolloutHalted" then
    -- What was written is not in force, and will not be by itself.
    health.status = "Degraded"
  end
end
return health
