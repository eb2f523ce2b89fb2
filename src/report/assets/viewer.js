// Puts cloud, camera, view and controls together. Sets data-view ("3d" or "2d") and data-drawn on the viewer: tests and
// people with a console can see what happened.
(function () {
  'use strict';
  var root = document.getElementById('viewer'), stage = root.querySelector('.stage'), all = root.querySelectorAll.bind(root);
  var cloud = rarefy.cloud(root), view = null, waiting = false;
  Array.prototype.forEach.call(all('.legend li button'), function (button) {
    var rgb = rarefy.soften(button.dataset.color.split(',').map(Number));
    button.style.setProperty('--shown', 'rgb(' + rgb.join(',') + ')');
    cloud.classes[button.dataset.class] = { color: rgb, button: button };
  });
  cloud.paint();

  var canvas = stage.querySelector('canvas'), reason = '';
  var wanted = /[?&#]view=2d/.test(location.search + location.hash) ? '2d' : '3d';
  if (wanted === '3d') {
    try {
      // Asked of a canvas of its own: one that has given a context of one kind gives no other.
      var probe = document.createElement('canvas');
      if (!(probe.getContext('webgl2') || probe.getContext('webgl'))) throw new Error('this browser offers no WebGL');
      if (typeof THREE === 'undefined') throw new Error('three.js is missing from the page');
      view = rarefy.view3d(canvas, cloud);
    } catch (error) {
      reason = error.message;
      var fresh = canvas.cloneNode(false);
      canvas.parentNode.replaceChild(fresh, canvas);
      canvas = fresh;
    }
  }
  if (!view) view = rarefy.view2d(canvas, cloud);

  var flat = view.name === '2d', narrow = stage.clientWidth < 600;
  var home = flat ? { yaw: 0, pitch: Math.PI / 2, distance: narrow ? 110 : 90, target: [0, 0, 0] }
                  : { yaw: 0.42, pitch: 0.47, distance: narrow ? 48 : 36, target: [6, 1, -0.6] };
  home.flatYaw = 0;
  var tag = stage.querySelector('.tag');
  var draw = function () {
    waiting = false;
    view.draw(orbit);
    var at = view.project([0, 0, 0]);
    tag.hidden = !at;
    if (at) tag.style.transform = 'translate(' + at[0].toFixed(1) + 'px,' + (at[1] - 9).toFixed(1) + 'px)';
    root.dataset.drawn = cloud.count;
  };
  var changed = function () {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(draw);
  };
  var orbit = rarefy.orbit(canvas, home, changed);
  orbit.flat = flat;
  root.dataset.view = view.name;
  var hint = stage.querySelector('.hint');
  if (flat) hint.textContent = (reason ? 'Seen from above, because ' + reason + '. ' : '') + 'Drag to move · scroll to zoom';

  var scale = stage.querySelector('.scale');
  var css = function (rgb) { return 'rgb(' + rgb.join(',') + ')'; };
  var explain = function () {
    var ramp = '<span class="ramp" style="background:linear-gradient(90deg,' +
      [0, 0.2, 0.4, 0.6, 0.8, 1].map(function (t) { return css(rarefy.ramp(t)); }).join(',') + ')"></span>';
    var error = rarefy.errorColors, dot = function (rgb, text) { return '<i style="background:' + css(rgb) + '"></i>' + text; };
    scale.innerHTML = cloud.mode === 'intensity' ? 'weak echo' + ramp + 'strong echo'
      : cloud.mode === 'height' ? cloud.low.toFixed(1) + ' m' + ramp + cloud.high.toFixed(1) + ' m'
      : cloud.mode === 'error' ? dot(error.right, 'right') + dot(error.wrong, 'wrong') + dot(error.none, 'not scored') : '';
  };
  var refresh = function () { cloud.paint(); view.color(); changed(); };
  Array.prototype.forEach.call(all('[data-mode]'), function (button) {
    button.addEventListener('click', function () {
      cloud.mode = button.dataset.mode;
      Array.prototype.forEach.call(all('[data-mode]'), function (other) { other.setAttribute('aria-pressed', String(other === button)); });
      explain();
      refresh();
    });
  });
  Array.prototype.forEach.call(all('[data-look]'), function (button) {
    if (flat && button.dataset.look === 'above') button.hidden = true;
    button.addEventListener('click', function () {
      if (button.dataset.look === 'start') orbit.reset();
      else orbit.set({ yaw: 0, pitch: Math.PI / 2, distance: 95, target: [0, 0, 0] });
    });
  });
  var slider = stage.querySelector('input[type=range]');
  slider.addEventListener('input', function () { view.size(parseFloat(slider.value)); changed(); });
  view.size(parseFloat(slider.value));

  var show = function (id, on) {
    cloud.shown[id] = on;
    cloud.classes[id].button.setAttribute('aria-pressed', String(on));
  };
  Object.keys(cloud.classes).forEach(function (id) {
    var button = cloud.classes[id].button;
    button.addEventListener('click', function () { show(id, !cloud.shown[id]); refresh(); });
    button.addEventListener('dblclick', function () {
      Object.keys(cloud.classes).forEach(function (other) { show(other, other === id); });
      refresh();
    });
  });
  Array.prototype.forEach.call(all('[data-all]'), function (button) {
    button.addEventListener('click', function () {
      Object.keys(cloud.classes).forEach(function (id) { show(id, button.dataset.all === 'show'); });
      refresh();
    });
  });
  window.addEventListener('resize', changed);
  var start = (location.hash.match(/mode=(\w+)/) || [])[1], first = start && root.querySelector('[data-mode="' + start + '"]');
  if (first) first.click();
  draw();
})();
