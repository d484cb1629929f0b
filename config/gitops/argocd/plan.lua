-- EquivalencePlan: what agents read; it has no status, and is well once it is written.
if obj.spec == nil or obj.spec.digest == nil or obj.spec.digest == "" then
  return {status = "Progressing", message = "waiting for the operator"}
end
return {status = "Healthy", message = "plan " .. obj.spec.digest}
