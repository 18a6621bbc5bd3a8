-- Returns the invocations held by runners without a live heartbeat, oldest first. ARGV: log id, limit.
local log = load_log()
local now = server_time()
local lost = {}
local member = call('ZRANGEBYLEX', HELD, '-', '+', 'LIMIT', 0, 1)[1]
while member do
    local runner = string.match(member, '^(.-)%z')
    local packed = call('HGET', RUNNERS, runner)
    if not packed or unpack_value(packed)[2] <= now then
        for _, each in ipairs(call('ZRANGEBYLEX', HELD, '[' .. runner .. '\0', '(' .. runner .. '\1')) do
            lost[#lost + 1] = string.sub(each, #runner + 2)
        end
    end
    member = call('ZRANGEBYLEX', HELD, '[' .. runner .. '\1', '+', 'LIMIT', 0, 1)[1]
end
table.sort(lost)
local found = {}
for index = 1, math.min(#lost, tonumber(ARGV[2])) do
    local invocation_id = string.match(lost[index], '^%x+%z.-%z(.*)$')
    found[index] = describe(log, invocation_id, load_row(invocation_id))
end
return found
