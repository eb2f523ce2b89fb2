// One camera for both views: it looks at `target` from `distance` metres, turned by yaw and pitch (z is up).
rarefy.orbit = function (canvas, home, changed) {
  'use strict';
  var state = {}, pointers = {}, limits = { near: 1.5, far: 400 };
  state.reset = function () { state.set(home); };
  state.set = function (view) {
    state.yaw = view.yaw; state.pitch = view.pitch; state.distance = view.distance;
    state.target = view.target.slice();
    changed();
  };
  state.pixel = function () { return 0.9 * state.distance / Math.max(1, canvas.clientHeight); };  // metres per pixel
  var turn = function (dx, dy) {
    if (state.flat) return move(dx, dy);
    state.yaw -= dx * 0.006;
    state.pitch = Math.max(0.03, Math.min(Math.PI / 2, state.pitch + dy * 0.006));
    changed();
  };
  var move = function (dx, dy) {
    var unit = state.pixel(), yaw = state.flat ? home.flatYaw : state.yaw, c = Math.cos(yaw), s = Math.sin(yaw);
    state.target[0] += unit * (dx * -s + dy * c);
    state.target[1] += unit * (dx * c + dy * s);
    changed();
  };
  var zoom = function (factor) {
    state.distance = Math.max(limits.near, Math.min(limits.far, state.distance * factor));
    changed();
  };
  canvas.addEventListener('pointerdown', function (event) {
    canvas.setPointerCapture(event.pointerId);
    pointers[event.pointerId] = { x: event.clientX, y: event.clientY, pan: event.button === 2 || event.button === 1 || event.shiftKey };
    canvas.focus({ preventScroll: true });
    event.preventDefault();
  });
  canvas.addEventListener('pointermove', function (event) {
    var was = pointers[event.pointerId], ids = Object.keys(pointers);
    if (!was) return;
    var dx = event.clientX - was.x, dy = event.clientY - was.y;
    if (ids.length === 1) {
      (was.pan ? move : turn)(dx, dy);
    } else if (ids.length === 2) {
      var other = pointers[ids[0] === String(event.pointerId) ? ids[1] : ids[0]];
      var before = Math.hypot(was.x - other.x, was.y - other.y), after = Math.hypot(event.clientX - other.x, event.clientY - other.y);
      if (before > 0 && after > 0) zoom(before / after);
      move(dx / 2, dy / 2);
    }
    was.x = event.clientX; was.y = event.clientY;
  });
  ['pointerup', 'pointercancel', 'lostpointercapture'].forEach(function (name) {
    canvas.addEventListener(name, function (event) { delete pointers[event.pointerId]; });
  });
  canvas.addEventListener('contextmenu', function (event) { event.preventDefault(); });
  canvas.addEventListener('wheel', function (event) {
    event.preventDefault();
    zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) * (event.deltaMode ? 0.06 : 0.0022)));
  }, { passive: false });
  canvas.addEventListener('keydown', function (event) {
    var keys = { ArrowLeft: [-24, 0], ArrowRight: [24, 0], ArrowUp: [0, -24], ArrowDown: [0, 24] };
    if (keys[event.key]) (event.shiftKey ? move : turn)(keys[event.key][0], keys[event.key][1]);
    else if (event.key === '+' || event.key === '=') zoom(0.87);
    else if (event.key === '-') zoom(1.15);
    else if (event.key === '0') state.reset();
    else return;
    event.preventDefault();
  });
  state.yaw = home.yaw; state.pitch = home.pitch; state.distance = home.distance; state.target = home.target.slice();
  return state;
};
