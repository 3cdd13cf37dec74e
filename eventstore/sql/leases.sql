SELECT name, holder, epoch FROM log.leases WHERE starts_with(name, $1) AND until > clock_timestamp() ORDER BY name
