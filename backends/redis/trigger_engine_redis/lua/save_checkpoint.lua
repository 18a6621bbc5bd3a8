-- Saves a checkpoint whose chunks were uploaded, and keeps the one before it.
-- ARGV: log id, name, term, position, entry id, log id of the cursor, number of chunks, digest of the data.
local log = load_log()
local name, term, position = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local packed = call('HGET', CHECKPOINTS, 'h:' .. name)
local kept = packed and unpack_value(packed) or {}
local same = kept[1] and kept[1][1] == term and kept[1][2] == position and kept[1][5] == ARGV[8]
if same then
    return 1
end
if cursor_error(log, ARGV[6], position, ARGV[5]) or not is_current(term) or (kept[1] and position <= kept[1][2]) then
    return 0
end
kept = {{term, position, ARGV[5], tonumber(ARGV[7]), ARGV[8]}, kept[1]}
call('HSET', CHECKPOINTS, 'h:' .. name, pack(kept))
local wanted = {}
for _, each in ipairs(kept) do
    wanted[string.format('%.0f:%.0f:%s', each[1], each[2], each[5])] = true
end
for _, field in ipairs(call('HKEYS', CHECKPOINTS)) do
    local checkpoint, of_name = string.match(field, '^d:(%d+:%d+:%x+):%d+:(.*)$')
    -- Chunks of no checkpoint were left by an interrupted save of this leader or of an earlier one.
    if of_name == name and not wanted[checkpoint] and tonumber(string.match(checkpoint, '^%d+')) <= term then
        call('HDEL', CHECKPOINTS, field)
    end
end
return 1
