-- Removes the entries after `trimmed` up to `last`; the caller has read their ids.
-- ARGV: log id, cursor's log id, position, entry id, trimmed, last, keys before,
-- {ids, ids of keyed entries, the times of their use, {invocation, position} of registrations, the same of moves}.
local log = load_log()
local why = cursor_error(log, ARGV[2], tonumber(ARGV[3]), ARGV[4])
if why == 'replaced' then
    return -1
end
local last = tonumber(ARGV[6])
local removed = 0
if why == nil and tonumber(ARGV[5]) == log.trimmed and last > log.trimmed then
    local gone = unpack_value(ARGV[8])
    local forgotten = {}
    for number, body in ipairs({'r:', 'l:'}) do
        for _, each in ipairs(gone[3 + number]) do
            local row = load_row(each[1])
            if row and not forgotten[each[1]] then
                if FINAL[row[STATUS]] and row[CHANGED_AT] <= last then
                    forgotten[each[1]] = true
                elseif row[body == 'r:' and REGISTERED_AT or CHANGED_AT] == each[2] then
                    call('HSET', KEPT, body .. each[1], entry_at(each[2]))
                end
            end
        end
    end
    for invocation_id in pairs(forgotten) do
        call('HDEL', INVOCATIONS, invocation_id)
        call('HDEL', KEPT, 'r:' .. invocation_id, 'l:' .. invocation_id)
    end
    in_chunks('HDEL', IDS, gone[1])
    for index, id in ipairs(gone[2]) do
        call('ZADD', USED, string.format('%.17g', gone[3][index]), id)
    end
    call('XTRIM', ENTRIES, 'MINID', '=', decimal(last + 1) .. '-0')
    call('HSET', META, 'trimmed', decimal(last))
    removed = 1
end
local old = call('ZRANGEBYSCORE', USED, '-inf', '(' .. ARGV[7], 'LIMIT', 0, 10000)
in_chunks('ZREM', USED, old)
in_chunks('HDEL', IDS, old)
return removed
