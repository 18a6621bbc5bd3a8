-- Frees a lease of this owner. ARGV: log id, name, owner.
local packed = call('HGET', LEASES, ARGV[2])
if packed and unpack_value(packed)[1] == ARGV[3] then
    call('HDEL', LEASES, ARGV[2])
end
return 1
