-- Empties the app; its log gets a new identity, and its positions keep rising. ARGV: the new log id, the id of the log
-- to empty: repeating the call does not remove what came after the first one.
local log = load_log()
if log.id ~= ARGV[2] then
    return log.id
end
log.queue_changes = log.queue_changes + 1
call('UNLINK', ENTRIES, IDS, USED, TERMS, INVOCATIONS, READY, DELAYED, HELD, KEPT, LEASES, CHECKPOINTS)
call('HSET', META, 'log_id', ARGV[1], 'last', '', 'trimmed', decimal(log.tail), 'stirred', decimal(log.queue_changes))
notify(log)
return ARGV[1]
