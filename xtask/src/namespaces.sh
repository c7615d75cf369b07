# The first process of fresh process, mount and network namespaces, as root: makes them look like a machine, runs a
# command, and reaps the orphans that it leaves meanwhile, as a shell that waits does. All that is done here is gone with
# the namespaces. Arguments: the `ip` command, the uplink, its address, the address of the kubernetes Service, the command.
set -eu
ip=$1 uplink=$2 address=$3 service=$4
shift 4

# containerd, its shims and the CNI plugins keep sockets, mounts and leases at these fixed places.
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/netns /run/lock
if [ -d /var/lib/cni ]; then mount -t tmpfs tmpfs /var/lib/cni; fi
if [ -d /var/lib/kubelet ]; then mount -t tmpfs tmpfs /var/lib/kubelet; fi
if [ -d /var/log/containers ]; then mount -t tmpfs tmpfs /var/log/containers; fi

# A kubelet sets these for the whole machine. It leaves alone what already reads as it wants, so it reads it from here.
mkdir /run/sysctl
pretend() {
    if [ -e "/proc/sys/$1" ]; then
        file=/run/sysctl/$(echo "$1" | tr / -)
        echo "$2" > "$file"
        mount --bind "$file" "/proc/sys/$1"
    fi
}
pretend vm/overcommit_memory 1
pretend vm/panic_on_oom 0
pretend kernel/panic 10
pretend kernel/panic_on_oops 1
pretend kernel/keys/root_maxkeys 1000000
pretend kernel/keys/root_maxbytes 25000000

# An address to advertise and a default route to find it by, though it leads nowhere: the tests run offline.
$ip link set lo up
$ip link add "$uplink" type bridge
$ip address add "$address/24" dev "$uplink"
$ip address add "$service/32" dev "$uplink"
$ip link set "$uplink" up
$ip route add default dev "$uplink"

# Not exec: this process must stay the first one.
status=0
"$@" || status=$?
exit "$status"
